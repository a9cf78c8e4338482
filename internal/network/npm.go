package network

import (
	"maps"
	"net/url"
	"slices"
)

// Registries returns the lines of an .npmrc with which a guest uses the package registries of a host, given by their keys
// there. Credentials in the addresses are left out, and so is what is no address.
func Registries(addresses map[string]string) (lines []string) {
	for _, key := range slices.Sorted(maps.Keys(addresses)) {
		address, err := url.Parse(fromGuest(addresses[key]))
		if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
			continue
		}
		lines = append(lines, key+"="+(&url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}).String())
	}
	return lines
}
