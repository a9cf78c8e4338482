package wall

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// verdict is what happens to a frame.
type verdict int

const (
	drop   verdict = iota // it means nothing to QEMU's network, or could mean anything
	pass                  // on to QEMU's network
	refuse                // the sender is told that it will not be delivered
)

// Numbers of protocols.
const (
	etherARP  = 0x0806
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

const etherHeader = 14

// packet is what a frame says of its way.
type packet struct {
	dst    netip.Addr
	proto  byte
	part   bool   // a fragment: what follows the header may be anything
	port   uint16 // of dst, with TCP and UDP
	answer bool   // TCP of a connection that was opened before, or by the other side
}

// parse reads a frame of IPv4 or IPv6. What it does not understand it calls no packet: nothing reaches QEMU's network that
// could be read in two ways.
func parse(frame []byte) (p packet, ok bool) {
	var payload []byte
	data := frame[etherHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherIPv4:
		if len(data) < 20 || data[0]>>4 != 4 {
			return p, false
		}
		header, total := int(data[0]&15)*4, int(binary.BigEndian.Uint16(data[2:]))
		if header < 20 || total < header || total > len(data) {
			return p, false
		}
		p.dst = netip.AddrFrom4([4]byte(data[16:20]))
		p.proto = data[9]
		p.part = binary.BigEndian.Uint16(data[6:])&0x3fff != 0
		payload = data[header:total]
	case etherIPv6:
		if len(data) < 40 || data[0]>>4 != 6 {
			return p, false
		}
		length := int(binary.BigEndian.Uint16(data[4:]))
		if 40+length > len(data) {
			return p, false
		}
		p.dst = netip.AddrFrom16([16]byte(data[24:40]))
		p.proto = data[6]
		payload = data[40 : 40+length]
	default:
		return p, false
	}
	switch p.proto {
	case protoTCP, protoUDP:
	case protoICMP:
		return p, p.dst.Is4()
	case protoICMPv6:
		return p, p.dst.Is6()
	default: // further headers of IPv6 among them
		return p, false
	}
	if p.part {
		return p, true
	}
	if p.proto == protoTCP && len(payload) < 20 || len(payload) < 8 {
		return p, false
	}
	p.port = binary.BigEndian.Uint16(payload[2:])
	if p.proto == protoTCP {
		const rst, ack = 4, 16
		p.answer = payload[13]&(rst|ack) != 0 // neither opens a connection in QEMU's network
	}
	return p, true
}

// gate judges frames. Use one from one goroutine.
type gate struct {
	rules            []Rule
	special, guarded []netip.Prefix
	names            *names

	own, near []netip.Prefix // the host's addresses, and the networks around them
	nearSince time.Time
	neighbors func() []netip.Prefix
}

func newGate(rules []Rule, names *names, neighbors func() []netip.Prefix) *gate {
	return &gate{rules: rules, special: special(), guarded: guarded(), names: names, neighbors: neighbors}
}

// nearFor is how long the host's addresses are taken to stay as they are.
const nearFor = 5 * time.Second

// judge says what happens to a frame that the guest has sent, and where it was to go.
func (g *gate) judge(frame []byte) (packet, verdict) {
	if len(frame) < etherHeader {
		return packet{}, drop
	}
	if binary.BigEndian.Uint16(frame[12:]) == etherARP {
		return packet{}, pass // answered by QEMU itself
	}
	p, ok := parse(frame)
	if !ok {
		return p, drop
	}
	switch {
	case g.service(p), !g.closed(p.dst), g.allowed(p):
		return p, pass
	case p.dst.IsMulticast(), p.dst == everybody:
		return p, drop
	}
	return p, refuse
}

// service says whether a packet is for what QEMU's network itself offers, or the guest's part of a connection that the host
// has opened to it.
func (g *gate) service(p packet) bool {
	if p.part {
		return false
	}
	switch p.proto {
	case protoUDP:
		return p.port == 53 && (p.dst == dns || p.dst == dns6) ||
			p.port == 67 && (p.dst == host || p.dst == everybody) ||
			p.port == 547 && p.dst == allDHCP6
	case protoTCP:
		return p.port == 53 && (p.dst == dns || p.dst == dns6) ||
			p.answer && (p.dst == host || p.dst == host6)
	case protoICMP:
		return p.dst == host
	}
	// Neighbours, routers and pings of IPv6. QEMU answers them; none of them leaves it.
	return p.proto == protoICMPv6 && (subnet6.Contains(p.dst) || p.dst.IsLinkLocalUnicast() || p.dst.IsLinkLocalMulticast())
}

// closed says whether an address is the host's own, or lies in its local network.
func (g *gate) closed(addr netip.Addr) bool {
	g.lookAround()
	return !global(addr) || lead(addr, g.special, g.guarded, g.near)
}

// lookAround finds out anew where the host is, if that was long ago.
func (g *gate) lookAround() {
	now := time.Now()
	if now.Sub(g.nearSince) <= nearFor {
		return
	}
	g.near, g.nearSince = g.neighbors(), now
	g.own = nil
	for _, prefix := range g.near {
		g.own = append(g.own, netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()))
	}
}

// allowed says whether a rule lets a packet through. What leads to the host, or to what trusts it,
// is opened by a rule for that address alone: a network is named for what else is in it, and what a
// name means its owner says.
func (g *gate) allowed(p packet) bool {
	g.lookAround()
	guarded := lead(p.dst, g.guarded, g.own)
	for _, rule := range g.rules {
		if rule.Port != 0 && (p.part || p.port != rule.Port || p.proto != protoTCP && p.proto != protoUDP) {
			continue
		}
		switch {
		case subnet.Contains(p.dst), subnet6.Contains(p.dst): // all of these are the host's loopback
			if rule.Prefix == loopback && (p.dst == host || p.dst == host6) {
				return true
			}
		case guarded:
			if rule.Prefix == netip.PrefixFrom(p.dst, p.dst.BitLen()) {
				return true
			}
		case rule.Name != "" && g.names.mean(rule.Name, p.dst), rule.Name == "" && rule.Prefix.Contains(p.dst):
			return true
		}
	}
	return false
}

// Neighbors returns the host's addresses, each with the length of the network that it lies in.
func Neighbors() []netip.Prefix {
	addresses, _ := net.InterfaceAddrs()
	var near []netip.Prefix
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			near = append(near, prefix)
		}
	}
	return near
}

// names knows what the names in rules mean.
type names struct {
	mu    sync.Mutex
	known map[string][]netip.Addr
}

func (n *names) mean(name string, addr netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Contains(n.known[name], addr)
}

func (n *names) set(name string, addrs []netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[name] = addrs
}
