package session

// refusal is why no spare is made.
type refusal int

const (
	none       refusal = iota // one can be made
	noTemplate                // its template is gone
	enough                    // there are as many as are wanted
	noMemory                  // the host has too little
	overLimit                 // all of them together would have too much
	unattended                // it would run code that is not ours, while nobody watches the project
)

func (r refusal) String() string {
	return [...]string{
		none: "", noTemplate: "the template is gone", enough: "there are enough",
		noMemory: shortOfMemory, overLimit: "all of them together would have too much memory",
		unattended: "a setup script or the project's own files chose what is in the template, " +
			"and that runs only while it is watched",
	}[r]
}

// lasts says whether waiting does not help.
func (r refusal) lasts() bool { return r == noMemory || r == overLimit || r == unattended }

const shortOfMemory = "the host is short of memory"

// ending is why a keeper keeps its spare no more.
type ending int

const (
	stays     ending = iota // it keeps it
	claimed                 // a session has it
	expired                 // its time is over
	discarded               // somebody has asked for its end
	useless                 // no session could use it any more
	crowded                 // the host needs its memory
	failed                  // something has gone wrong
)

func (e ending) String() string {
	return [...]string{
		stays: "", claimed: "a session has it", expired: "nobody came for it", discarded: "it was not wanted any more",
		useless: "no session could use it any more", crowded: shortOfMemory, failed: "it failed",
	}[e]
}
