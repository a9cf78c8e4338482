package cli

import (
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/network"
)

// proxies returns the variables with which the guest's programs find their way out. They may hold a password.
func (a *app) proxies(cfg *config.Config) []string {
	if cfg.VM.Proxy == "none" {
		return nil
	}
	return network.Proxies(a.Env)
}

// certificates returns those of the authorities that the guest is to trust.
func certificates(cfg *config.Config) ([]string, error) {
	var paths []string
	for _, item := range cfg.VM.CACertificates {
		paths = append(paths, item.Value)
	}
	return network.Certificates(paths)
}
