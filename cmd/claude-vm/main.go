// claude-vm runs Claude Code in a throw-away virtual machine that sees only the project.
package main

import (
	"os"

	"github.com/themouette/claude-vm/internal/cli"
)

func main() {
	ctx, stop := cli.Signals()
	defer stop()
	os.Exit(cli.Main(ctx, cli.OS()))
}
