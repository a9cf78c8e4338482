package cli

import (
	"strings"
	"testing"
)

func TestInstallHints(t *testing.T) {
	t.Parallel()
	for release, want := range map[string][2]string{
		"PRETTY_NAME=\"Debian GNU/Linux 13\"\nID=debian\n":             {"release in /usr/local", "apt-get install"},
		"NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"": {"release in /usr/local", "apt-get install"},
		"ID=fedora\nVERSION_ID=43\n":                                   {"release in /usr/local", "dnf install"},
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n":               {"release in /usr/local", "dnf install"},
		"ID='manjaro'\nID_LIKE=arch\n":                                 {"release in /usr/local", "pacman"},
		"ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n":      {"release in /usr/local", "zypper"},
		"ID=nixos\n": {"nix-env", "are called"},
		"ID=other\n": {"release in /usr/local", "are called"},
		"":           {"release in /usr/local", "are called"},
	} {
		s := parseSystem(release)
		if got := s.installLima(); !strings.Contains(got, want[0]) || !strings.Contains(got, "https://lima-vm.io") {
			t.Errorf("%q: Lima: %s", release, got)
		}
		if got := s.installQEMU(); !strings.Contains(got, want[1]) {
			t.Errorf("%q: QEMU: %s", release, got)
		}
	}
	if got := thisSystem("darwin").installLima(); !strings.HasPrefix(got, "brew install lima") {
		t.Error(got)
	}
}
