package git

import "time"

// Impatient makes git's time short, and returns what makes it long again.
func Impatient(d time.Duration) func() {
	before := patience
	patience = d
	return func() { patience = before }
}
