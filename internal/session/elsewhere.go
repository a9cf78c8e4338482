package session

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/paths"
	"github.com/themouette/claude-vm/internal/project"
)

// elsewhere returns the .git files of linked worktrees that are on the host, and whose git data a guest sees without them. Git
// would take that data for left over, and remove it with what is staged there.
func elsewhere(mounts []mount.Mount) (files []string) {
	for _, m := range mounts {
		if !m.Writable {
			continue
		}
		for _, dir := range []string{m.Host, filepath.Join(m.Host, ".git")} {
			for _, file := range project.Worktrees(dir) {
				shown := slices.ContainsFunc(mounts, func(m mount.Mount) bool { return paths.Within(m.Guest, file) })
				if _, err := os.Lstat(file); err == nil && !shown {
					files = append(files, file)
				}
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}
