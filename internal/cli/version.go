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

func newVersionCommand(s *shared) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  claude-vm version --json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			h := s.host()
			if asJSON {
				return printJSON(h, versionFacts{Version(), runtime.GOOS, runtime.GOARCH})
			}
			return printf(h, "claude-vm %s\n", Version())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
