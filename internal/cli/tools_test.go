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
		if can, has := tool.Pin != nil, (config.Tools{}).Versions(tool.Name); can != has {
			t.Errorf("a version of %s can be chosen: %v; there is a key for it: %v", tool.Name, can, has)
		}
	}
	slices.Sort(catalogue)
	if keys := slices.Sorted(maps.Keys(config.Tools{}.ByName())); !slices.Equal(keys, catalogue) {
		t.Errorf("the configuration knows %q, the catalogue %q", keys, catalogue)
	}
}
