package cli

import (
	"maps"
	"slices"
	"testing"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/tool"
)

// A tool that is in the catalogue can be asked for, and one that can be asked for is in the catalogue.
func TestToolsHaveKeys(t *testing.T) {
	t.Parallel()
	var catalogue []string
	for _, tool := range tool.Catalogue() {
		catalogue = append(catalogue, tool.Name)
	}
	slices.Sort(catalogue)
	if keys := slices.Sorted(maps.Keys(config.Tools{}.ByName())); !slices.Equal(keys, catalogue) {
		t.Errorf("the configuration knows %q, the catalogue %q", keys, catalogue)
	}
}
