package wall

import (
	"net/netip"
	"slices"
)

// special are the addresses that belong to no place on the internet: what IANA's registries of
// special-purpose addresses do not call globally reachable, and what is somebody else everywhere. The
// networks of IPv4 for documentation are not among them: they lead to nobody's computer, and where
// somebody uses one all the same, as the address of a mirror for instance, it is meant to be reached.
func special() []netip.Prefix {
	return networks(
		"0.0.0.0/8",        // this host
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // a provider's own, between its routers and its customers'
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's virtual machines find their host there
		"169.254.0.0/16",   // link-local, with the metadata of nearly every cloud
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocols, among them that of the nearest router's open ports
		"192.88.99.0/24",   // the nearest 6to4 relay
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks; VPNs and containers take addresses from there
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, broadcast
		"2001::/23",        // protocols: Teredo, benchmarks, the nearest router's open ports
		"2001:db8::/32",    // documentation
		"3fff::/20",        // documentation
	)
}

// unicast6 is all of IPv6 that is given to anybody on the internet. Outside of it lie loopback,
// local and multicast addresses, and the networks of translators, of which nat64 alone leads to the
// internet.
var (
	unicast6 = netip.MustParsePrefix("2000::/3")
	nat64    = netip.MustParsePrefix("64:ff9b::/96")
	nat64own = netip.MustParsePrefix("64:ff9b:1::/48")
	teredo   = netip.MustParsePrefix("2001::/32")
)

// guarded are the addresses that lead to the host, or from it to what trusts whoever asks:
// loopback, whatever is on the same wire, and the places where a cloud tells a machine its secrets.
// So are the host's other addresses.
func guarded() []netip.Prefix {
	return append(networks(
		"0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128",
		"169.254.0.0/16", "fe80::/10",
		"168.63.129.16/32",       // Azure
		"100.100.100.200/32",     // Alibaba
		"192.0.0.192/32",         // Oracle
		"fd00:ec2::/32",          // Amazon
		"fd20:ce::254/128",       // Google
		"fd00:c1::a9fe:a9fe/128", // Oracle
		"fd00:42::42/128",        // Scaleway
	), subnet, subnet6)
}

func networks(texts ...string) (prefixes []netip.Prefix) {
	for _, text := range texts {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	return prefixes
}

// wrappings are the IPv6 networks in whose addresses translators and tunnels find an IPv4 address,
// and at which of the bytes.
var wrappings = []struct {
	prefix netip.Prefix
	at     [4]int
}{
	{netip.MustParsePrefix("::/96"), [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("::ffff:0:0/96"), [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), [4]int{12, 13, 14, 15}},
	{nat64, [4]int{12, 13, 14, 15}},
	// Of a translator's own network nobody else knows how long it is. Its addresses are read in
	// each way.
	{nat64own, [4]int{6, 7, 9, 10}},
	{nat64own, [4]int{7, 9, 10, 11}},
	{nat64own, [4]int{9, 10, 11, 12}},
	{nat64own, [4]int{12, 13, 14, 15}},
	{netip.MustParsePrefix("2002::/16"), [4]int{2, 3, 4, 5}}, // 6to4
	{teredo, [4]int{4, 5, 6, 7}},                             // Teredo's server
}

// meanings returns where packets to an address may arrive: there, and at the addresses that are
// written in it.
func meanings(addr netip.Addr) []netip.Addr {
	if addr.Is4() {
		return []netip.Addr{addr}
	}
	bytes := addr.As16()
	found := []netip.Addr{addr}
	for _, w := range wrappings {
		if w.prefix.Contains(addr) {
			if w.prefix == nat64own && bytes[w.at[0]] == 0 && slices.ContainsFunc(bytes[w.at[3]+1:], func(b byte) bool { return b != 0 }) {
				continue // zeros with something behind them: the network is longer than that
			}
			inner := [4]byte{bytes[w.at[0]], bytes[w.at[1]], bytes[w.at[2]], bytes[w.at[3]]}
			found = append(found, netip.AddrFrom4(inner))
		}
	}
	last := [4]byte(bytes[12:])
	if bytes[8]&^2 == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe { // ISATAP
		found = append(found, netip.AddrFrom4(last))
	}
	if teredo.Contains(addr) { // Teredo's client, turned over
		found = append(found, netip.AddrFrom4([4]byte{^last[0], ^last[1], ^last[2], ^last[3]}))
	}
	return found
}

// lead says whether an address is in one of some networks, or leads there.
func lead(addr netip.Addr, to ...[]netip.Prefix) bool {
	for _, meaning := range meanings(addr) {
		contains := func(prefix netip.Prefix) bool { return prefix.Contains(meaning) }
		if slices.ContainsFunc(to, func(prefixes []netip.Prefix) bool { return slices.ContainsFunc(prefixes, contains) }) {
			return true
		}
	}
	return false
}

// Internet says whether an address is on the internet, as far as that can be told without knowing
// where the host is.
func Internet(addr netip.Addr) bool {
	return global(addr) && !lead(addr, special(), guarded())
}

// global says whether an address is one that the internet knows, special ones aside.
func global(addr netip.Addr) bool {
	return addr.Is4() || unicast6.Contains(addr) || nat64.Contains(addr)
}
