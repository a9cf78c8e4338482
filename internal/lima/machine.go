package lima

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/themouette/claude-vm/internal/mount"
)

// The user of every guest. Scripts and templates can rely on it, whoever runs us.
const (
	GuestUser = "lima"
	GuestHome = "/home/lima.linux"
)

// GuestUID returns the id of the guest's user: ours, so that files in a shared folder belong to the same person on both
// sides. Root has an ordinary id in the guest.
func GuestUID() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return 1000
}

// Machine describes an instance.
type Machine struct {
	Images     []Image
	CPUs       int
	MemoryGB   int // GiB, as Lima counts
	DiskGB     int // GiB
	MountType  string
	Mounts     []mount.Mount
	DirectBoot bool // a kernel lies beside the disk
}

// Image is a bootable disk.
type Image struct {
	Location string  `yaml:"location"`
	Arch     string  `yaml:"arch,omitempty"`
	Digest   string  `yaml:"digest,omitempty"`
	Variant  string  `yaml:"variant,omitempty"`
	Kernel   *Kernel `yaml:"kernel,omitempty"`
	Initrd   *File   `yaml:"initrd,omitempty"`
}

// Kernel is booted directly, without a boot loader on the disk.
type Kernel struct {
	File    `yaml:",inline"`
	Cmdline string `yaml:"cmdline,omitempty"`
}

// File is something that Lima fetches.
type File struct {
	Location string `yaml:"location"`
	Digest   string `yaml:"digest,omitempty"`
}

// document is the part of Lima's instance description that we write.
type document struct {
	VMType            string        `yaml:"vmType"`
	OS                string        `yaml:"os"`
	Arch              string        `yaml:"arch"`
	Images            []Image       `yaml:"images"`
	CPUs              int           `yaml:"cpus"`
	Memory            string        `yaml:"memory"`
	Disk              string        `yaml:"disk"`
	MountType         string        `yaml:"mountType,omitempty"`
	Mounts            []mountEntry  `yaml:"mounts"`
	User              user          `yaml:"user"`
	SSH               ssh           `yaml:"ssh"`
	Firmware          *firmware     `yaml:"firmware,omitempty"`
	Video             *video        `yaml:"video,omitempty"`
	VMOpts            map[string]vz `yaml:"vmOpts,omitempty"`
	Containerd        containerd    `yaml:"containerd"`
	HostResolver      enabled       `yaml:"hostResolver"`
	PropagateProxyEnv bool          `yaml:"propagateProxyEnv"`
	PortForwards      []portForward `yaml:"portForwards"`
}

type mountEntry struct {
	Location   string `yaml:"location"`
	MountPoint string `yaml:"mountPoint"`
	Writable   bool   `yaml:"writable"`
}

type user struct {
	Name string `yaml:"name"`
	Home string `yaml:"home"`
	UID  int    `yaml:"uid"`
}

type ssh struct {
	LoadDotSSHPubKeys bool `yaml:"loadDotSSHPubKeys"`
	ForwardAgent      bool `yaml:"forwardAgent"`
}

type firmware struct {
	LegacyBIOS bool `yaml:"legacyBIOS"`
}

type video struct {
	Display string `yaml:"display"`
}

type vz struct {
	Rosetta rosetta `yaml:"rosetta"`
}

type rosetta struct {
	Enabled bool `yaml:"enabled"`
	BinFmt  bool `yaml:"binfmt"`
}

type containerd struct {
	System bool `yaml:"system"`
	User   bool `yaml:"user"`
}

type enabled struct {
	Enabled bool `yaml:"enabled"`
}

type portForward struct {
	GuestIP           string `yaml:"guestIP"`
	GuestIPMustBeZero bool   `yaml:"guestIPMustBeZero,omitempty"`
	GuestPortRange    [2]int `yaml:"guestPortRange,flow"`
	Proto             string `yaml:"proto"`
	Ignore            bool   `yaml:"ignore"`
}

// closedPorts keeps every port of the guest off the host. Without rules Lima forwards all of them, and an empty list
// counts as none.
var closedPorts = []portForward{
	{GuestIP: "0.0.0.0", GuestIPMustBeZero: true, GuestPortRange: [2]int{1, 65535}, Proto: "any", Ignore: true},
	{GuestIP: "127.0.0.1", GuestPortRange: [2]int{1, 65535}, Proto: "any", Ignore: true},
}

// Arch returns this host's architecture by Lima's name for it. Guests have the same.
func Arch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

// Driver returns what runs the VMs of this kind of host: "vz", Apple's framework, or "qemu".
func Driver(goos string) string {
	if goos == "darwin" {
		return "vz"
	}
	return "qemu"
}

func (m Machine) document(goos, goarch string) document {
	doc := document{
		VMType: Driver(goos),
		OS:     "Linux",
		Arch:   Arch(),
		Images: m.Images,
		CPUs:   m.CPUs,
		Memory: strconv.Itoa(m.MemoryGB) + "GiB",
		Disk:   strconv.Itoa(m.DiskGB) + "GiB",
		Mounts: []mountEntry{}, // a list that is missing would mean Lima's default: the home folder
		User:   user{Name: GuestUser, Home: GuestHome, UID: GuestUID()},
		SSH:    ssh{}, // nothing of the host's: an agent is lent to a session, and not to a VM
		// QEMU and Apple's framework both answer DNS; Lima's own resolver needs firewall rules at every boot.
		HostResolver: enabled{false},
		PortForwards: closedPorts,
	}
	if len(m.Mounts) > 0 {
		doc.MountType = m.MountType
	}
	for _, mt := range m.Mounts {
		doc.Mounts = append(doc.Mounts, mountEntry{Location: literal(mt.Host), MountPoint: literal(mt.Guest), Writable: mt.Writable})
	}
	if doc.VMType == "vz" {
		if goarch == "arm64" {
			doc.VMOpts = map[string]vz{"vz": {Rosetta: rosetta{Enabled: true, BinFmt: true}}}
		}
	} else {
		doc.Video = &video{Display: "none"}
		if m.DirectBoot && goarch == "amd64" {
			doc.Firmware = &firmware{LegacyBIOS: true} // UEFI takes its time, and only a boot loader could need it
		}
	}
	return doc
}

// literal keeps Lima from reading a path as the Go template that it takes it for.
func literal(path string) string { return strings.ReplaceAll(path, "{{", `{{"{{"}}`) }

// MountTag returns the name by which a guest mounts a shared folder.
func MountTag(m mount.Mount) string {
	sum := sha256.Sum256([]byte(m.Host + ":" + m.Guest))
	return fmt.Sprintf("lima-%x", sum[:8])
}

// Share returns a mount as Lima is told of it. Lima writes the path on the host into QEMU's command line, where a comma
// ends it, and YAML cannot hold every byte that a path can: such a folder goes by a link in the instance's own folder, and
// by a place in the guest that only we know.
func (c *Client) Share(name string, m mount.Mount) mount.Mount {
	fit := func(path string) bool {
		return utf8.ValidString(path) && !strings.ContainsFunc(path, func(r rune) bool { return r == ',' || unicode.IsControl(r) })
	}
	if fit(m.Host) && fit(m.Guest) {
		return m
	}
	link := "share-" + strings.TrimPrefix(MountTag(m), "lima-")
	return mount.Mount{Host: filepath.Join(c.Dir(name), link), Guest: "/mnt/" + link, Writable: m.Writable}
}

// ErrShare means that a folder cannot be shared in the way that was chosen.
var ErrShare = errors.New("reverse-sshfs cannot share a folder of this name")

// checkShares makes sure that Lima can mount what it mounts itself: over reverse-sshfs it writes both paths into lines of
// shell, in double quotes, and shares no link.
func (m Machine) checkShares() error {
	for _, folder := range m.Mounts {
		if m.MountType == "reverse-sshfs" && (unquotable.MatchString(folder.Host+folder.Guest) || !utf8.ValidString(folder.Host+folder.Guest)) {
			return fmt.Errorf("%w: %q", ErrShare, folder.Host)
		}
	}
	return nil
}

var unquotable = regexp.MustCompile("[\"$`\\\\,[:cntrl:]]")

func (m Machine) yaml() []byte {
	text, err := yaml.Marshal(m.document(runtime.GOOS, runtime.GOARCH))
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return text
}

// AppleVirtiofs says whether folders are shared by Apple's framework, which knows one way only.
func AppleVirtiofs() bool { return Driver(runtime.GOOS) == "vz" }

// MountOptions returns what a guest mounts a shared folder with. The values are Lima's own.
func MountOptions(mountType string, m mount.Mount) string {
	options := "ro"
	if m.Writable {
		options = "rw"
	}
	if mountType == "9p" {
		options += ",trans=virtio,version=9p2000.L,msize=131072,cache=mmap"
	}
	return options
}
