// Package paths says which paths lie in which folders: by their names, or as the file system knows
// them. The two differ where there are symbolic links, or names that are alike to the file system.
package paths

import (
	"os"
	"path/filepath"
)

// Rel returns a path as seen from a folder that it lies in by its name. The folder lies in itself.
// Both are absolute.
func Rel(dir, path string) (rel string, inside bool) {
	rel, err := filepath.Rel(dir, path)
	return rel, err == nil && filepath.IsAbs(path) && filepath.IsLocal(rel)
}

// Within says whether a path is a folder or lies in it, by their names.
func Within(dir, path string) bool {
	_, inside := Rel(dir, path)
	return inside
}

// Holds says whether a path is an existing folder or lies in it, as the file system knows them: a
// folder can have several names. The path as it is written counts, not what symbolic links make of
// its end.
func Holds(dir, path string) bool {
	for ; !Same(dir, path); path = filepath.Dir(path) {
		if path == filepath.Dir(path) {
			return false
		}
	}
	return true
}

// Same says whether two paths are one existing folder or file.
func Same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
