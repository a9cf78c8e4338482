// Package network knows how a company's network is reached from a guest: through the proxies and npm registries that the host
// is set up for, and with certificate authorities that the user names. It only reads; it must not know how a guest is told.
package network

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/wall"
)

// direct is what a guest reaches without a proxy, whatever its host does.
var direct = []string{"localhost", "127.0.0.1", "::1", wall.HostName, wall.HostAddress}

// Proxies returns the proxy variables of an environment as NAME=value, such that they hold in a guest, each in small and in
// capital letters. A proxy on the host's loopback has the address there by which guests know the host, and the host itself is
// always reached directly. Where a variable is set in both ways, the one in small letters counts, as it does for curl.
//
// The values may hold a password.
func Proxies(env []string) []string {
	var found []string
	add := func(name, value string) {
		found = append(found, strings.ToLower(name)+"="+value, name+"="+value)
	}
	get := func(name string) string {
		if value := proc.Getenv(env, strings.ToLower(name)); value != "" {
			return value
		}
		return proc.Getenv(env, name)
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		if value := get(name); value != "" {
			add(name, fromGuest(value))
		}
	}
	if len(found) == 0 {
		return nil
	}
	except := get("NO_PROXY")
	if strings.TrimSpace(except) == "*" { // means everything only as long as it stands alone
		add("NO_PROXY", "*")
		return found
	}
	var names []string
	for name := range strings.SplitSeq(except, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	for _, name := range direct {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add("NO_PROXY", strings.Join(names, ","))
	return found
}

// fromGuest returns the address of a proxy as a guest has to write it.
func fromGuest(proxy string) string {
	begin, host, _ := parts(proxy)
	if !loopback(strings.Trim(host, "[]")) {
		return proxy
	}
	return proxy[:begin] + wall.HostAddress + proxy[min(begin+len(host), len(proxy)):]
}

// parts returns where in the address of a proxy its host begins, the host, and the port with its
// colon. It may lack the scheme, as curl allows.
func parts(proxy string) (begin int, host, port string) {
	end := len(proxy)
	if i := strings.Index(proxy, "://"); i >= 0 {
		begin = i + len("://")
	}
	if i := strings.IndexAny(proxy[begin:], "/?#"); i >= 0 {
		end = begin + i
	}
	begin += strings.LastIndexByte(proxy[begin:end], '@') + 1
	host, _, _ = strings.Cut(proxy[begin:end], ":")
	if strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(proxy[begin:end], "]")
		host += "]"
	}
	return begin, host, proxy[min(begin+len(host), end):end]
}

// Ways returns those of some variables' proxies, as host and port, that may be no mere way to the
// internet: a proxy makes connections from where it stands, so that one on the host or in its
// network leads there. What a name means is not known.
func Ways(proxies []string) (ways []string) {
	for _, variable := range proxies {
		name, value, _ := strings.Cut(variable, "=")
		if strings.EqualFold(name, "NO_PROXY") {
			continue
		}
		_, host, port := parts(value)
		if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && wall.Internet(addr) {
			continue
		}
		if host == wall.HostAddress {
			host = "localhost"
		}
		ways = append(ways, host+port)
	}
	slices.Sort(ways)
	return slices.Compact(ways)
}

// loopback says whether a host name means the machine that says it.
func loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback() || addr.IsUnspecified()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// ErrCertificates means that a file is no list of certificates.
var ErrCertificates = errors.New("not a file of CA certificates")

// Certificates returns the certificates of PEM files, each as PEM of its own and once. A file that holds anything else, a
// private key above all, is an error.
func Certificates(paths []string, read func(path string) ([]byte, error)) ([]string, error) {
	var found []string
	for _, path := range paths {
		text, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCertificates, err)
		}
		none := true
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				return nil, fmt.Errorf("%s: %w: it holds a block %q", path, ErrCertificates, block.Type)
			}
			if _, err := x509.ParseCertificate(block.Bytes); err != nil {
				return nil, fmt.Errorf("%s: %w: %w", path, ErrCertificates, err)
			}
			block.Headers = nil
			one := string(pem.EncodeToMemory(block))
			if none = false; !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
		if none {
			return nil, fmt.Errorf("%s: %w: it holds none in PEM form", path, ErrCertificates)
		}
	}
	return found, nil
}
