// Package instance is the register of all VMs and disks of ours, whatever they are for: their names
// and kinds, a record of each, who owns it, and what nobody uses any more. It finds, copies, boots
// and removes them. It does not know how a layer is built, nor what a session runs.
package instance

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/state"
)

// Kind says what an instance is for. What belongs to whom stands in the record; the name's
// beginning keeps the kinds apart for whoever looks at the folder.
type Kind string

// The kinds of instance.
const (
	Layer    Kind = "layer"    // shared by templates, never started
	Template Kind = "template" // a project's, never started
	Session  Kind = "session"  // a running copy of a template
	Spare    Kind = "spare"    // a running copy that waits to be a session, and then is one under the same name
	Building Kind = "building" // on its way to be a layer or a template
)

var prefixes = map[Kind]string{Layer: "lay_", Template: "tpl_", Session: "ses_", Spare: "spa_", Building: "bld_"}

// KindOf tells the kind of an instance by its name; it returns "" for one that is not ours.
func KindOf(name string) Kind {
	for kind, prefix := range prefixes {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix {
			return kind
		}
	}
	return ""
}

// Temporary says whether an instance goes with its owner.
func Temporary(name string) bool {
	return slices.Contains([]Kind{Session, Spare, Building}, KindOf(name))
}

// NewName returns an instance name of a kind, made of at most sixteen characters that say something
// and eight that set it apart.
func NewName(kind Kind, says, apart string) string { return prefixes[kind] + says + "_" + apart }

// Random returns eight hexadecimal digits that nobody has used before.
func Random() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// recordVersion changes when an older program could misread a record.
const recordVersion = 1

// Record is what we know of an instance. It lies in the instance's folder, and goes away with it.
type Record struct {
	Version int       `json:"version"`
	Kind    Kind      `json:"kind"`
	Project string    `json:"project,omitempty"` // the main checkout, or the folder that is the project
	Created time.Time `json:"created"`
	Layer   string    `json:"layer"`  // the fingerprint of what it is made of
	Disks   []string  `json:"disks"`  // the folders below disks/ that it stands on, its own last
	Claude  string    `json:"claude"` // the version of Claude Code in it

	Tools map[string]string `json:"tools,omitempty"` // the version of each tool in it

	DiskGB   int          `json:"disk_gb"`
	SystemGB int          `json:"system_gb"` // the size of its file system, which grows when a session needs it
	MemoryGB int          `json:"memory_gb"`
	CPUs     int          `json:"cpus"`
	Images   []lima.Image `json:"images"`
	Shares   []string     `json:"shares"` // the kinds of shared folder that its kernel knows

	// Unattended says that a copy may run while no session is watched: nothing is on its disk but
	// the layers. A setup script, or what a project's own files chose, could change a project that
	// is shared with it.
	Unattended bool `json:"unattended,omitempty"`

	// Of a session:
	Template string `json:"template,omitempty"`
	Dir      string `json:"dir,omitempty"`     // the working directory
	Command  string `json:"command,omitempty"` // what runs, for people
	PID      int    `json:"pid,omitempty"`     // of the claude-vm that owns it

	// Of a spare:
	Fits  string `json:"fits,omitempty"`  // the fingerprint of the sessions that can use it
	Ready bool   `json:"ready,omitempty"` // it has booted
}

// Own returns the folder below disks/ that an instance's overlay lies on.
func (r Record) Own() string {
	if len(r.Disks) == 0 {
		return ""
	}
	return r.Disks[len(r.Disks)-1]
}

// Machine returns the lean instance that a record describes, with nothing shared.
func (r Record) Machine() lima.Machine {
	return lima.Machine{Images: r.Images, CPUs: r.CPUs, MemoryGB: r.MemoryGB, DiskGB: r.DiskGB, DirectBoot: StaticNet()}
}

// StaticNet says whether the guest's addresses are known beforehand.
func StaticNet() bool { return lima.Driver(runtime.GOOS) == "qemu" }

func recordPath(client *lima.Client, name string) string {
	return filepath.Join(client.Dir(name), "claude-vm.json")
}

// ReadRecord returns the record of an instance.
func ReadRecord(client *lima.Client, name string) (Record, error) {
	var r Record
	err := state.ReadJSON(recordPath(client, name), &r)
	return r, err
}

// WriteRecord replaces the record of an instance.
func WriteRecord(client *lima.Client, name string, r Record) error {
	r.Version = recordVersion
	return state.WriteJSON(recordPath(client, name), r)
}
