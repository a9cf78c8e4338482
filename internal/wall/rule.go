// Package wall decides what of the network a guest reaches, outside of the guest: its root cannot take the wall down. Frames
// on their way from the guest to QEMU's user network pass through it, those for the host itself or its local network are
// turned away unless a rule lets them, and the rest goes on to the internet.
//
// It knows frames, addresses and QEMU's way of passing frames along; it must not know who started it, nor what a VM is.
package wall

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// HostName and HostAddress are how a guest calls the host.
const (
	HostName    = "host.lima.internal"
	HostAddress = "192.168.5.2"
)

// QEMU's user network, as Lima sets it up for every guest. What is sent to host, or to an address in the subnet that nobody
// has, arrives at the host's loopback; what is sent to dns, at the host's resolver, on any port. The IPv6 addresses are
// QEMU's own.
var (
	host      = netip.MustParseAddr(HostAddress)
	dns       = netip.MustParseAddr("192.168.5.3")
	subnet    = netip.MustParsePrefix("192.168.5.0/24")
	loopback  = netip.PrefixFrom(host, 32)
	host6     = netip.MustParseAddr("fec0::2")
	dns6      = netip.MustParseAddr("fec0::3")
	subnet6   = netip.MustParsePrefix("fec0::/64")
	everybody = netip.MustParseAddr("255.255.255.255")
	allDHCP6  = netip.MustParseAddr("ff02::1:2")
)

// Everything is the rule that needs no wall.
const Everything = "*"

// ErrRule means that a text is no rule.
var ErrRule = errors.New(`not an address as in "localhost:5432", "192.168.1.10", "10.0.0.0/8" or "git.example.com:22"`)

// Rule is something on the host or in its local network that the guest may reach.
type Rule struct {
	// One of the two says where: addresses, or a name that is looked up while the VM runs.
	Prefix netip.Prefix
	Name   string
	Port   uint16 // 0: every one, and ping
}

// ParseRule reads an address, a network or a name, each with a port or without one. The host's loopback, whose names are those
// of both sides, is one place: it has no more than one address in the guest.
func ParseRule(text string) (Rule, error) {
	where, port, err := cutPort(text)
	if err != nil {
		return Rule{}, err
	}
	if strings.EqualFold(where, "localhost") || strings.EqualFold(where, HostName) {
		where = HostAddress
	}
	if prefix, err := netip.ParsePrefix(where); err == nil {
		return Rule{Prefix: oneForm(prefix), Port: port}, nil
	}
	if addr, err := netip.ParseAddr(where); err == nil && addr.Zone() == "" {
		return Rule{Prefix: oneForm(netip.PrefixFrom(addr, addr.BitLen())), Port: port}, nil
	}
	if !isName(where) {
		return Rule{}, fmt.Errorf("%q is %w", text, ErrRule)
	}
	return Rule{Name: strings.ToLower(where), Port: port}, nil
}

// oneForm returns the one form of addresses that can be written in several: IPv4 in the shape of
// IPv6, and the host's loopback.
func oneForm(prefix netip.Prefix) netip.Prefix {
	if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
	}
	if addr := prefix.Addr(); prefix.IsSingleIP() && (addr.IsLoopback() || addr.IsUnspecified() || addr == host6) {
		return loopback
	}
	return prefix.Masked()
}

// cutPort takes the port off an address. An IPv6 address that has one stands in brackets.
func cutPort(text string) (where string, port uint16, err error) {
	colon := strings.LastIndexByte(text, ':')
	switch {
	case strings.HasPrefix(text, "["):
		if strings.HasSuffix(text, "]") {
			return text[1 : len(text)-1], 0, nil
		}
		if colon < 2 || text[colon-1] != ']' {
			return "", 0, fmt.Errorf("%q is %w", text, ErrRule)
		}
		where = text[1 : colon-1]
	case colon < 0 || strings.IndexByte(text, ':') != colon:
		return text, 0, nil
	default:
		where = text[:colon]
	}
	number, err := strconv.ParseUint(text[colon+1:], 10, 16)
	if err != nil || number == 0 {
		return "", 0, fmt.Errorf("%q is %w", text, ErrRule)
	}
	return where, uint16(number), nil
}

// isName says whether a text can be the name of a host. One of digits alone would be an address that is written wrongly.
func isName(text string) bool {
	letter := false
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c|0x20 && c|0x20 <= 'z':
				letter = true
			case '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return letter && len(text) <= 253
}

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	where := r.Name
	if where == "" {
		where = place(r.Prefix.Addr())
		if !r.Prefix.IsSingleIP() {
			where = r.Prefix.String()
		}
	}
	if r.Port == 0 {
		return where
	}
	if strings.Contains(where, ":") {
		where = "[" + where + "]"
	}
	return where + ":" + strconv.Itoa(int(r.Port))
}

// place returns an address as people write it, the host's loopback by its name.
func place(addr netip.Addr) string {
	if addr == host || addr == host6 {
		return "localhost"
	}
	return addr.String()
}

// FromURL returns the rule that a URL needs: whoever gives one to a guest means it to be used.
func FromURL(text string) (Rule, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return Rule{}, false
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080", "ssh": "22", "git": "9418",
			"postgres": "5432", "postgresql": "5432", "mysql": "3306", "redis": "6379", "amqp": "5672", "mongodb": "27017"}[u.Scheme]
	}
	if port == "" {
		return Rule{}, false
	}
	rule, err := ParseRule("[" + u.Hostname() + "]:" + port)
	return rule, err == nil
}
