// Package host tells of this machine: how much memory and disk space are free, and how terminals
// are described. It knows nothing of what that is for.
package host

// Memory is the host's, in bytes.
type Memory struct {
	Total     int64
	Available int64 // without anything having to be written to a swap file
}
