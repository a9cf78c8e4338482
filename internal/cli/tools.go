package cli

import (
	"github.com/spf13/pflag"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/tool"
)

// toolsGB is what building a layer with all tools may take on the host's disk, besides the base layer.
const toolsGB = 4

// toolFlag is a flag that turns tools on, or off. Of several the last one counts.
type toolFlag struct {
	flag   string
	tools  []string
	values *[]config.FlagValue
}

func (f toolFlag) String() string   { return "" }
func (f toolFlag) Type() string     { return "bool" }
func (f toolFlag) IsBoolFlag() bool { return true }

func (f toolFlag) Set(value string) error {
	for _, name := range f.tools {
		*f.values = append(*f.values, config.FlagValue{Key: "tools." + name, Flag: "--" + f.flag, Value: value})
	}
	return nil
}

// forTools registers a flag for each tool, and one for all of them.
func (f *globalFlags) forTools(set *pflag.FlagSet) {
	var all []string
	register := func(flag, usage string, tools ...string) {
		set.VarPF(toolFlag{flag, tools, &f.values}, flag, "", usage).NoOptDefVal = "true"
	}
	for _, t := range tool.Catalogue() {
		register(t.Name, "install "+t.Summary, t.Name)
		all = append(all, t.Name)
	}
	register("all", "install all of these tools", all...)
}

// tools returns the tools that the configuration asks for, with what they need.
func tools(cfg *config.Config) ([]tool.Choice, error) {
	wanted := map[string]string{}
	for name, t := range cfg.Tools.ByName() {
		if t.Enabled {
			wanted[name] = t.Version
		}
	}
	return tool.Choose(wanted)
}

// shop is where tools download from, and where that is kept.
func (a *app) shop() tool.Shop {
	arch := map[string]string{"x86_64": "x64", "aarch64": "arm64"}[lima.Arch()]
	return tool.Shop{HTTP: a.http, Env: a.Env, Home: a.Home, Cache: a.state().Cache(), Arch: arch}
}
