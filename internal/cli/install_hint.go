package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/lima"
)

// system is what this host calls itself: the names of its distribution, the closest first, or
// darwin.
type system []string

// thisSystem reads os-release(5) where there is one.
func thisSystem(goos string) system {
	if goos != "linux" {
		return system{goos}
	}
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		text, _ = os.ReadFile("/usr/lib/os-release")
	}
	return parseSystem(string(text))
}

func parseSystem(osRelease string) system {
	var id, like []string
	for line := range strings.Lines(osRelease) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch names := strings.Fields(strings.Trim(value, `"'`)); key {
		case "ID":
			id = names
		case "ID_LIKE":
			like = names
		}
	}
	return append(id, like...)
}

// limaRelease is the Lima that claude-vm is tested with.
const limaRelease = "2.2.0"

// installLima says how to get Lima. That it has no packages for most distributions is what its own
// page says.
func (s system) installLima() string {
	const page = "https://lima-vm.io/docs/installation/"
	switch {
	case slices.Contains(s, "darwin"):
		return "brew install lima, or see " + page
	case slices.Contains(s, "nixos"):
		return "nix-env -i lima, or see " + page
	}
	return fmt.Sprintf("curl -fsSL https://github.com/lima-vm/lima/releases/download/v%s/lima-%s-Linux-%s.tar.gz "+
		"| sudo tar -xz -C /usr/local, or see %s",
		limaRelease, limaRelease, lima.Arch(), page)
}

// installQEMU says how to get QEMU.
func (s system) installQEMU() string {
	for _, name := range s {
		switch name {
		case "debian", "ubuntu":
			return "sudo apt-get install qemu-system qemu-utils"
		case "fedora", "rhel", "centos":
			return "sudo dnf install qemu-kvm qemu-img"
		case "arch":
			return "sudo pacman -S qemu-base"
		case "suse", "opensuse":
			return "sudo zypper install qemu qemu-tools"
		case "darwin":
			return "brew install qemu"
		}
	}
	return "its packages are called qemu, or qemu-kvm and qemu-img; on Debian and Ubuntu qemu-system and qemu-utils"
}
