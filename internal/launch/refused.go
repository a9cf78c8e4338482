package launch

import (
	"context"
	"fmt"
	"strings"

	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/ui"
)

// refused tells what a session's VM was kept from.
type refused struct {
	session.Nop
	ui *ui.UI
}

// After tells.
func (r refused) After(_ context.Context, o session.Outcome) { tellRefused(r.ui, o.Refused) }

// maxRefused is how many of the places that were out of a VM's reach are named.
const maxRefused = 4

// tellRefused tells what a VM has looked for on this computer or its network, and not found because
// nobody has allowed it.
func tellRefused(to *ui.UI, places []string) {
	if len(places) == 0 {
		return
	}
	more := ""
	if extra := len(places) - maxRefused; extra > 0 {
		places, more = places[:maxRefused], fmt.Sprintf(" and %d more", extra)
	}
	to.Warn("the VM was kept from %s%s (to let it: --allow-net %s)", strings.Join(places, ", "), more, places[0])
}
