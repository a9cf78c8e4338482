package launch

import (
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/network"
	"github.com/themouette/claude-vm/internal/npm"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/wall"
)

// proxies returns the variables with which the guest's programs find their way out. They may hold a
// password.
func (h Host) proxies(cfg *config.Config) []string {
	if cfg.VM.Proxy == "none" {
		return nil
	}
	return network.Proxies(h.Env)
}

// sayProxies tells that the proxies which a guest is given may be a way around its wall, unless
// that has been said of these.
func (h Host) sayProxies(cfg *config.Config) {
	ways := network.Ways(h.proxies(cfg))
	file := h.note("proxies.json")
	var said []string
	if _ = state.ReadJSON(file, &said); len(ways) == 0 || slices.Equal(said, ways) {
		return
	}
	h.UI.Warn("the VM is given the proxy of your environment, and reaches what that one connects it to, "+
		"this computer's network included: %s", strings.Join(ways, ", "))
	h.UI.Hint(`vm.proxy = "none" gives it none`)
	_ = state.WriteJSON(file, ways)
}

// registries returns the lines of an .npmrc by which npm in the guest knows the registries that the
// host's uses, none if the user has not set up any.
func (h Host) registries() ([]string, error) {
	addresses, err := npm.Client{Env: h.Env, Home: h.Home}.Addresses()
	return network.Registries(addresses), err
}

// tellNPM returns the step of a preparation that brings registries to the guest, none if there are
// none.
func (h Host) tellNPM() (steps []string, err error) {
	lines, err := h.registries()
	if len(lines) > 0 {
		steps = append(steps, guest.Registries(lines))
	}
	return steps, err
}

// reach returns the rules for what a guest reaches of this computer and its network: what the user
// allows, and what it is told to use, be it a proxy, a registry or an address in a variable that
// the user has named.
func (h Host) reach(cfg *config.Config, named []string) ([]string, error) {
	var rules []string
	for _, item := range cfg.Network.Allow {
		if item.Value == wall.Everything {
			return []string{wall.Everything}, nil
		}
		rule, err := wall.ParseRule(item.Value)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule.String())
	}
	lines, err := h.registries()
	if err != nil {
		return nil, err
	}
	for _, variable := range slices.Concat(lines, h.proxies(cfg), named) {
		_, value, _ := strings.Cut(variable, "=")
		if rule, ok := wall.FromURL(value); ok {
			rules = append(rules, rule.String())
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules), nil
}

// certificates returns those of the authorities that the guest is to trust.
func certificates(cfg *config.Config, asked *trust.Review) ([]string, error) {
	var paths []string
	for _, item := range cfg.VM.CACertificates {
		paths = append(paths, item.Value)
	}
	return network.Certificates(paths, asked.Certificates)
}
