package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/tool"
)

func (g *globals) addFlags(set *pflag.FlagSet) {
	set.BoolVarP(&g.verbose, "verbose", "v", false, "show what Lima and the scripts print")
	set.BoolVarP(&g.quiet, "quiet", "q", false, "say nothing but warnings and errors")
}

// addPlaceFlags declares the flags of a command that works on the project.
func addPlaceFlags(set *pflag.FlagSet, r *launch.Request) {
	set.BoolVar(&r.AllowHome, "allow-home", false, "accept home or a system folder as the project")
}

// addWorkFlags declares the flags of a command that reads the configuration that holds for the
// project.
func addWorkFlags(set *pflag.FlagSet, r *launch.Request) {
	addPlaceFlags(set, r)
	addConfigFlags(set, r)
}

// addConfigFlags declares the flags of a command that reads the configuration.
func addConfigFlags(set *pflag.FlagSet, r *launch.Request) {
	set.BoolVar(&r.NoConfig, "no-config", false, "ignore both configuration files")
	forKey(set, r, "disk", "vm.disk", "disk of the VM in `GB` (1-1000)")
	forKey(set, r, "memory", "vm.memory", "memory of the VM in `GB` (1-64)")
	forKey(set, r, "cpus", "vm.cpus", "`NUMBER` of processors of the VM (1-64)")
	forKey(set, r, "image", "vm.image", "`IMAGE` to build the VM from: a Lima template, a disk image or an image "+
		"folder")
	forKey(set, r, "allow-net", "network.allow",
		"let the VM reach an `ADDRESS` of this computer or its network, as in localhost:5432 (repeatable)")
}

// addMountFlag declares the flag that shares a folder.
func addMountFlag(set *pflag.FlagSet, r *launch.Request) {
	set.StringArrayVar(&r.Mounts, "mount", nil, "share a folder: `HOST[:GUEST][:ro]` (repeatable)")
}

// addScriptFlag declares the flag for a script of a session.
func addScriptFlag(set *pflag.FlagSet, r *launch.Request) {
	forKey(set, r, "runtime-script", "runtime.scripts", "`SCRIPT` to run in the VM before the command (repeatable)")
}

// addEnvFlags declares the flags for the variables of a VM.
func addEnvFlags(set *pflag.FlagSet, r *launch.Request) {
	set.StringArrayVar(&r.Env, "env", nil, "set `NAME=VALUE` in the VM (repeatable)")
	set.StringArrayVar(&r.EnvFiles, "env-file", nil, "set the variables of a `FILE` (repeatable)")
	set.StringArrayVar(&r.Inherit, "inherit-env", nil, "pass the variable `NAME` on (repeatable)")
}

// addAutoSetupFlag declares the flag of a command that needs a template.
func addAutoSetupFlag(set *pflag.FlagSet, r *launch.Request) {
	set.BoolVar(&r.AutoSetup, "auto-setup", false, "build a missing template without asking")
}

// addPlanFlags declares the flags of a command that makes a plan of a session.
func addPlanFlags(set *pflag.FlagSet, r *launch.Request) {
	addWorkFlags(set, r)
	addMountFlag(set, r)
	addScriptFlag(set, r)
	addEnvFlags(set, r)
	set.BoolVar(&r.NoConversations, "no-conversations", false, "keep the project's history out of the VM")
	set.StringArrayVar(&r.Ports, "publish", nil,
		"let the VM's port GUEST be 127.0.0.1:HOST here: `HOST:GUEST` (repeatable)")
}

// addSessionFlags declares the flags of a command that begins a session.
func addSessionFlags(set *pflag.FlagSet, r *launch.Request) {
	addPlanFlags(set, r)
	addAutoSetupFlag(set, r)
	set.BoolVarP(&r.ForwardAgent, "forward-ssh-agent", "A", false, "let the VM use the keys of your ssh-agent")
}

// acceptEverywhere lets a session's flags stand beside every command, as in an alias that has some.
// Where they do nothing the help does not show them.
func acceptEverywhere(root *cobra.Command, flags *pflag.FlagSet) {
	for _, cmd := range root.Commands() {
		flags.VisitAll(func(f *pflag.Flag) {
			if cmd.Flags().Lookup(f.Name) == nil {
				hidden := *f
				hidden.Hidden = true
				cmd.Flags().AddFlag(&hidden)
			}
		})
		acceptEverywhere(cmd, flags)
	}
}

// keyFlag is a flag that stands for a configuration key, which says what it may be.
type keyFlag struct {
	key, flag string
	request   *launch.Request
}

func (k keyFlag) String() string { return "" }
func (k keyFlag) Type() string   { return "string" }

func (k keyFlag) Set(value string) error {
	k.request.Values = append(k.request.Values, config.FlagValue{Key: k.key, Flag: "--" + k.flag, Value: value})
	return nil
}

// forKey declares a flag that stands for a configuration key.
func forKey(set *pflag.FlagSet, r *launch.Request, flag, key, usage string) {
	set.Var(keyFlag{key, flag, r}, flag, usage)
}

// toolFlag is a flag that turns tools on, or off. Of several the last one counts.
type toolFlag struct {
	flag    string
	tools   []string
	request *launch.Request
}

func (f toolFlag) String() string   { return "" }
func (f toolFlag) Type() string     { return "bool" }
func (f toolFlag) IsBoolFlag() bool { return true }

func (f toolFlag) Set(value string) error {
	for _, name := range f.tools {
		f.request.Values = append(f.request.Values, config.FlagValue{
			Key: "tools." + name, Flag: "--" + f.flag, Value: value, Together: len(f.tools) > 1,
		})
	}
	return nil
}

// addToolFlags declares a flag for each tool, and one for all of them.
func addToolFlags(set *pflag.FlagSet, r *launch.Request) {
	var all []string
	register := func(flag, usage string, tools ...string) {
		set.VarPF(toolFlag{flag, tools, r}, flag, "", usage).NoOptDefVal = "true"
	}
	for _, t := range tool.Catalogue() {
		register(t.Name, "install "+t.Summary, t.Name)
		all = append(all, t.Name)
	}
	register("all", "install all of these tools", all...)
}
