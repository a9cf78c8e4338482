package cli

import (
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/network"
	"github.com/themouette/claude-vm/internal/npm"
)

// proxies returns the variables with which the guest's programs find their way out. They may hold a password.
func (a *app) proxies(cfg *config.Config) []string {
	if cfg.VM.Proxy == "none" {
		return nil
	}
	return network.Proxies(a.Env)
}

// tellNPM returns the step of a preparation by which npm in the guest knows the registries that the host's uses, none if the
// user has not set up any.
func (a *app) tellNPM() (steps []string, err error) {
	addresses, err := npm.Client{Env: a.Env, Home: a.Home}.Addresses()
	if err != nil {
		return nil, err
	}
	if lines := network.Registries(addresses); len(lines) > 0 {
		steps = append(steps, guest.Registries(lines))
	}
	return steps, nil
}

// certificates returns those of the authorities that the guest is to trust.
func certificates(cfg *config.Config) ([]string, error) {
	var paths []string
	for _, item := range cfg.VM.CACertificates {
		paths = append(paths, item.Value)
	}
	return network.Certificates(paths)
}
