package cli

import (
	"runtime"

	"github.com/spf13/cobra"
)

// versionFacts is what version tells.
type versionFacts struct {
	Version string `json:"version"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  claude-vm version --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return a.printJSON(versionFacts{Version(), runtime.GOOS, runtime.GOARCH})
			}
			return a.print("claude-vm %s\n", Version())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
