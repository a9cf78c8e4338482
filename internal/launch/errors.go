package launch

import (
	"errors"
)

var (
	// ErrNoSpace means that the disk has too little room.
	ErrNoSpace = errors.New("too little disk space")
	// ErrNoSSH means that there is no ssh.
	ErrNoSSH = errors.New("there is no ssh on PATH: OpenSSH's client is not installed")
	// ErrStateExposed means that a guest could write to the state folder, and agree to anything
	// itself.
	ErrStateExposed = errors.New("the state folder lies in the project, where a VM could change it")
)

// UsageError is a command line that cannot be understood, or what it or a file asks for.
type UsageError struct {
	Command string // whose help says more; empty: none does
	Err     error
}

func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e UsageError) Unwrap() error { return e.Err }

// usage is what is wrong with a flag of a session.
func usage(err error) error { return UsageError{Command: "claude-vm", Err: err} }

// AdvisedError is an error with better advice than its kind has.
type AdvisedError struct {
	Err    error
	Advice string
}

func (e AdvisedError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e AdvisedError) Unwrap() error { return e.Err }
