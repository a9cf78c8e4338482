package launch

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/wall"
)

// KeepWallCommand is the name of the command that a wall's process runs: it calls KeepWall.
const KeepWallCommand = lima.WallCommand

// KeepWall is the life of that process.
func (h Host) KeepWall(ctx context.Context, rules []string) error {
	return wall.Keep(ctx, rules, h.Stdout)
}

// raiseWall starts the process that keeps a VM from this computer and its network. It ends with
// QEMU's connections.
func (h Host) raiseWall(dir string, rules []string, doors []*os.File, report *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := slices.Concat([]string{self, lima.WallCommand, dir + string(filepath.Separator)}, rules)
	return proc.Detach(proc.Cmd{Argv: argv, Env: []string{"CLAUDE_VM_HOME=" + string(h.State())}, Dir: "/"},
		append([]*os.File{nil, report, nil}, doors...)...)
}
