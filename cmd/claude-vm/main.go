// A look once a second at how many processors there are would be much of what we do while a VM boots.
//
//go:debug updatemaxprocs=0

// claude-vm runs Claude Code in a throw-away virtual machine that sees only the project.
package main

import (
	"os"
	"runtime/debug"

	"github.com/themouette/claude-vm/internal/cli"
)

// moreGarbage is how much of the heap may be garbage before it is collected, in percent. We are small and live for a short time.
const moreGarbage = 800

func main() {
	debug.SetGCPercent(moreGarbage)
	ctx, stop := cli.Signals()
	defer stop()
	os.Exit(cli.Main(ctx, cli.OS()))
}
