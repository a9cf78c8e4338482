// Package host tells how much memory this machine has and how much of it is free. It knows nothing of what wants some.
package host

// Memory is the host's, in bytes.
type Memory struct {
	Total     int64
	Available int64 // without anything having to be written to a swap file
}
