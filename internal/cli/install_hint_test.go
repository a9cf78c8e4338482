package cli

import (
	"os"
	"strings"
	"testing"

	"github.com/themouette/claude-vm/internal/lima"
)

func TestInstallHints(t *testing.T) {
	t.Parallel()
	for release, want := range map[string][2]string{
		"PRETTY_NAME=\"Debian GNU/Linux 13\"\nID=debian\n":             {"sudo tar -xz -C /usr/local, or see", "apt-get install"},
		"NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"": {"sudo tar -xz -C /usr/local, or see", "apt-get install"},
		"ID=fedora\nVERSION_ID=43\n":                                   {"sudo tar -xz -C /usr/local, or see", "dnf install"},
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n":               {"sudo tar -xz -C /usr/local, or see", "dnf install"},
		"ID='manjaro'\nID_LIKE=arch\n":                                 {"sudo tar -xz -C /usr/local, or see", "pacman"},
		"ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n":      {"sudo tar -xz -C /usr/local, or see", "zypper"},
		"ID=nixos\n": {"nix-env", "are called"},
		"ID=other\n": {"sudo tar -xz -C /usr/local, or see", "are called"},
		"":           {"sudo tar -xz -C /usr/local, or see", "are called"},
	} {
		s := parseSystem(release)
		if got := s.installLima(); !strings.Contains(got, want[0]) || !strings.Contains(got, "https://lima-vm.io") {
			t.Errorf("%q: Lima: %s", release, got)
		}
		if got := s.installQEMU(); !strings.Contains(got, want[1]) {
			t.Errorf("%q: QEMU: %s", release, got)
		}
	}
	if got, want := parseSystem("").installLima(), "/download/v"+limaRelease+"/lima-"+limaRelease+"-Linux-"+lima.Arch()+".tar.gz "; !strings.Contains(got, want) {
		t.Errorf("no %s in %s", want, got)
	}
	if got := thisSystem("darwin").installLima(); !strings.HasPrefix(got, "brew install lima") {
		t.Error(got)
	}
}

// The Lima that is tested is the one that people are told to install.
func TestLimaRelease(t *testing.T) {
	t.Parallel()
	const command = "https://github.com/lima-vm/lima/releases/download/v" + limaRelease + "/lima-" + limaRelease + "-Linux-$(uname -m).tar.gz"
	for file, want := range map[string]string{
		"scripts/lib.sh": "\nlima_version=" + limaRelease + "\n", "install.sh": "\nlima_version=" + limaRelease + "\n",
		"docs/getting-started.md": command,
	} {
		text, err := os.ReadFile("../../" + file)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has no %q: %v", file, want, err)
		}
	}
}
