package tool

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/themouette/claude-vm/internal/npm"
)

//go:embed chromium.sh
var chromiumScript string

// devtools is the package of Chrome's MCP server. It is one bundle, without dependencies.
const devtools = "chrome-devtools-mcp"

// The server is told not to ask the network for a newer one of itself, and to keep what it is used for, and on which pages,
// to itself.
const devtoolsEntry = `{"mcpServers": {"chrome-devtools": {
	"type": "stdio",
	"command": "/usr/local/bin/chrome-devtools-mcp",
	"args": ["--headless", "--isolated", "--executablePath=/usr/bin/chromium", "--no-usage-statistics", "--no-performance-crux"],
	"env": {"CHROME_DEVTOOLS_MCP_NO_UPDATE_CHECKS": "1"}
}}}`

func chromium() Tool {
	return Tool{
		Name: "chromium", Summary: "Chromium, which Claude can drive (brings Node.js)",
		Needs:    []string{"node"},
		Packages: []string{"chromium", "fonts-liberation"},
		Script:   chromiumScript,
		Merge:    []Document{{".claude.json", devtoolsEntry}},
		Checks:   []string{"google-chrome --version", "chrome-devtools-mcp --version"},
		Download: downloadDevtools,
	}
}

func downloadDevtools(ctx context.Context, s Shop, _ string, have Goods) (Good, error) {
	registry, err := s.registry(ctx)
	if err != nil {
		return Good{}, err
	}
	pkg, err := registry.Package(ctx, devtools)
	if err != nil {
		return Good{}, err
	}
	version := pkg.Tags["latest"]
	runsOn, node := pkg.Versions[version].Node(), have["node"].Version
	if !npm.Satisfies(node, runsOn) {
		return Good{}, fmt.Errorf("%w: %s %s runs on Node.js %s, and tools.node.version chose %s", ErrVersion, devtools, version, runsOn, node)
	}
	return s.store(devtools+"-"+version, version, func(dir string) error {
		return s.tarball(ctx, pkg, version, dir, devtools+".tgz")
	})
}
