// Package template knows what a session starts from: layers, which are built once and shared by all projects that want the
// same, and the template of a project, a thin copy of the topmost. It finds, builds and removes them. It knows nothing of
// sessions, and of a tool only what its description says.
package template

import (
	"path/filepath"
	"time"

	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/state"
)

// Kind says what an instance is for. What belongs to whom stands in the record; the name's beginning keeps the kinds apart
// for whoever looks at the folder.
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

// NewName returns an instance name of a kind, made of at most sixteen characters that say something and eight that set it
// apart.
func NewName(kind Kind, says, apart string) string { return prefixes[kind] + says + "_" + apart }

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
	SystemGB int          `json:"system_gb"` // the size of the file system on the disk; it grows when a session needs it
	MemoryGB int          `json:"memory_gb"`
	CPUs     int          `json:"cpus"`
	Images   []lima.Image `json:"images"`
	Shares   []string     `json:"shares"` // the kinds of shared folder that its kernel knows

	// Unattended says that a copy may run while no session is watched: nothing is on its disk but the layers. A setup script,
	// or what a project's own files chose, could change a project that is shared with it.
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

// since says whether an instance was made after a moment. One from the future was made before the clock was set back.
func (r Record) since(moment time.Time) bool {
	return r.Created.After(moment) && !r.Created.After(time.Now())
}

// own returns the folder below disks/ that an instance's overlay lies on.
func (r Record) own() string {
	if len(r.Disks) == 0 {
		return ""
	}
	return r.Disks[len(r.Disks)-1]
}

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
