package wall

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseRule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"localhost:5432":          "localhost:5432",
		"LOCALHOST":               "localhost",
		"host.lima.internal:80":   "localhost:80",
		"127.0.0.1:80":            "localhost:80",
		"127.1.2.3":               "localhost",
		"::1":                     "localhost",
		"[::1]:80":                "localhost:80",
		"::ffff:10.0.0.1":         "10.0.0.1",
		"10.0.0.0/8":              "10.0.0.0/8",
		"10.1.2.3/8:22":           "10.0.0.0/8:22",
		"192.168.1.10":            "192.168.1.10",
		"fd00::1":                 "fd00::1",
		"[fd00::1]:22":            "[fd00::1]:22",
		"[fd00::1/64]":            "fd00::/64",
		"Git.Example.com:22":      "git.example.com:22",
		"printer":                 "printer",
		"127.0.0.1/32":            "localhost",
		"[0.0.0.0]:80":            "localhost:80",
		"::":                      "localhost",
		"fec0::2":                 "localhost",
		"::ffff:127.0.0.1":        "localhost",
		"::ffff:10.0.0.1/104":     "10.0.0.0/8",
		"":                        "",
		"*":                       "",
		"10.0.0.256":              "",
		"1.2.3":                   "",
		"host:0":                  "",
		"host:65536":              "",
		"host:http":               "",
		"http://host":             "",
		"fe80::1%eth0":            "",
		"a b":                     "",
		"-a":                      "",
		"a..b":                    "",
		"[fd00::1]22":             "",
		"[":                       "",
		"10.0.0.0/33":             "",
		strings.Repeat("a.", 200): "",
	} {
		rule, err := ParseRule(text)
		if err != nil {
			if want != "" {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if rule.String() != want {
			t.Errorf("%q is %q, want %q", text, rule, want)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("[fd00::1]:22")
	f.Add("10.0.0.0/8:22")
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := ParseRule(text)
		if err != nil {
			return
		}
		if again, err := ParseRule(rule.String()); err != nil || again != rule {
			t.Errorf("%q is %#v, and %q is %#v, %v", text, rule, rule, again, err)
		}
	})
}

func TestFromURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http://host.lima.internal:8080/v1": "localhost:8080",
		"https://api.example.com":           "api.example.com:443",
		"http://ann:secret@10.0.0.1:3128":   "10.0.0.1:3128",
		"postgres://db.corp/x":              "db.corp:5432",
		"http://[fd00::1]/":                 "[fd00::1]:80",
		"strange://db.corp":                 "",
		"some text":                         "",
		"/a/path":                           "",
		"10.0.0.1:80":                       "",
		"http://a b/":                       "",
	} {
		rule, ok := FromURL(text)
		if ok != (want != "") || ok && rule.String() != want {
			t.Errorf("%q is %q, %v, want %q", text, rule, ok, want)
		}
	}
}

const (
	syn    = 0x02
	rst    = 0x04
	ack    = 0x10
	synAck = syn | ack
)

// frame is what a guest might send.
func frame(dst netip.Addr, proto byte, port uint16, flags byte) []byte {
	body := make([]byte, 20)
	binary.BigEndian.PutUint16(body, 40000)
	binary.BigEndian.PutUint16(body[2:], port)
	if proto == protoTCP {
		body[13] = flags
	}
	if proto == protoICMP {
		body[0] = 8
	}
	if proto == protoICMPv6 {
		body[0] = 128
	}
	ether := []byte("\x52\x55\x0a\x00\x02\x02\x52\x55\x55\x01\x02\x03")
	if dst.Is4() {
		ip := make([]byte, 20)
		ip[0], ip[8], ip[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(ip[2:], 40)
		copy(ip[12:], []byte{192, 168, 5, 15})
		copy(ip[16:], dst.AsSlice())
		return append(append(ether, 8, 0), append(ip, body...)...)
	}
	ip := make([]byte, 40)
	ip[0], ip[6], ip[7] = 0x60, proto, 64
	binary.BigEndian.PutUint16(ip[4:], 20)
	copy(ip[24:], dst.AsSlice())
	return append(append(ether, 0x86, 0xdd), append(ip, body...)...)
}

// gateFor has a host at 203.0.113.7 and 2001:db8::7, and knows what the name nas.local means.
func gateFor(t *testing.T, rules ...string) *gate {
	t.Helper()
	var parsed []Rule
	for _, text := range rules {
		rule, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, rule)
	}
	known := &names{known: map[string][]netip.Addr{"nas.local": {netip.MustParseAddr("192.168.1.9")}}}
	return newGate(parsed, known, func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/64")}
	})
}

func TestGate(t *testing.T) {
	t.Parallel()
	all := []string{"localhost:5432", "10.0.0.0/8", "nas.local:445", "203.0.113.9:22", "fd00::/8", "192.168.0.0/16"}
	for _, c := range []struct {
		dst   string
		proto byte
		port  uint16
		flags byte
		rules []string
		want  verdict
	}{
		{"93.184.216.34", protoTCP, 443, syn, nil, pass},
		{"93.184.216.34", protoUDP, 123, 0, nil, pass},
		{"2606:2800:220:1::1", protoTCP, 443, syn, nil, pass},
		// the host's loopback, by all its addresses
		{"192.168.5.2", protoTCP, 5432, syn, nil, refuse},
		{"192.168.5.2", protoUDP, 5432, 0, nil, refuse},
		{"192.168.5.77", protoTCP, 5432, syn, nil, refuse},
		{"fec0::2", protoTCP, 5432, syn, nil, refuse},
		{"fec0::99", protoTCP, 5432, syn, nil, refuse},
		{"::ffff:127.0.0.1", protoTCP, 5432, syn, nil, refuse},
		{"64:ff9b::10.0.0.1", protoTCP, 5432, syn, nil, refuse},
		{"2002:7f00:1::", protoTCP, 5432, syn, nil, refuse},
		{"64:ff9b::93.184.216.34", protoTCP, 443, syn, nil, pass},
		{"::1", protoTCP, 5432, syn, nil, refuse},
		{"127.0.0.1", protoTCP, 5432, syn, nil, refuse},
		{"0.0.0.0", protoTCP, 5432, syn, nil, refuse},
		{"203.0.113.7", protoTCP, 22, syn, nil, refuse},
		{"2001:db8::7", protoTCP, 22, syn, nil, refuse},
		// its network
		{"10.1.2.3", protoTCP, 22, syn, nil, refuse},
		{"10.1.2.3", protoTCP, 22, ack, nil, refuse},
		{"172.17.0.1", protoTCP, 22, syn, nil, refuse},
		{"192.168.1.1", protoUDP, 53, 0, nil, refuse},
		{"169.254.169.254", protoTCP, 80, syn, nil, refuse},
		{"192.168.1.1", protoICMP, 0, 0, nil, refuse},
		{"fd00::1", protoTCP, 22, syn, nil, refuse},
		{"fe80::1", protoTCP, 22, syn, nil, refuse},
		{"224.0.0.251", protoUDP, 5353, 0, nil, drop},
		{"255.255.255.255", protoUDP, 68, 0, nil, drop},
		{"ff02::fb", protoUDP, 5353, 0, nil, drop},
		// what the network itself does
		{"192.168.5.3", protoUDP, 53, 0, nil, pass},
		{"192.168.5.3", protoTCP, 53, syn, nil, pass},
		{"192.168.5.3", protoTCP, 80, syn, nil, refuse},
		{"192.168.5.3", protoUDP, 80, 0, nil, refuse},
		{"192.168.5.2", protoTCP, 40001, ack, nil, pass},
		{"192.168.5.2", protoTCP, 40001, synAck, nil, pass},
		{"192.168.5.2", protoTCP, 40001, rst, nil, pass},
		{"192.168.5.2", protoTCP, 40001, 0, nil, refuse},
		{"192.168.5.9", protoTCP, 40001, ack, nil, refuse},
		{"192.168.5.2", protoICMP, 0, 0, nil, pass},
		{"255.255.255.255", protoUDP, 67, 0, nil, pass},
		{"fec0::3", protoUDP, 53, 0, nil, pass},
		{"ff02::2", protoICMPv6, 0, 0, nil, pass},
		// rules
		{"192.168.5.2", protoTCP, 5432, syn, all, pass},
		{"192.168.5.2", protoUDP, 5432, 0, all, pass},
		{"fec0::2", protoTCP, 5432, syn, all, pass},
		{"192.168.5.2", protoTCP, 5433, syn, all, refuse}, // which 192.168.0.0/16 does not mean
		{"192.168.5.7", protoTCP, 5432, syn, all, refuse},
		{"10.1.2.3", protoTCP, 22, syn, all, pass},
		{"10.1.2.3", protoICMP, 0, 0, all, pass},
		{"192.168.1.9", protoTCP, 445, syn, []string{"nas.local:445"}, pass},
		{"192.168.1.9", protoTCP, 446, syn, []string{"nas.local:445"}, refuse},
		{"192.168.1.8", protoTCP, 445, syn, []string{"nas.local:445"}, refuse},
		{"203.0.113.9", protoTCP, 22, syn, all, pass},
		{"203.0.113.9", protoICMP, 0, 0, all, refuse},
		{"203.0.113.8", protoTCP, 22, syn, all, refuse},
		{"fd00::1", protoTCP, 22, syn, all, pass},
		{"192.168.5.2", protoTCP, 1, syn, []string{"0.0.0.0/0"}, refuse},
		{"10.1.2.3", protoTCP, 1, syn, []string{"0.0.0.0/0"}, pass},
		// nothing that QEMU's network knows
		{"93.184.216.34", 47, 0, 0, nil, drop},
		{"2606:2800:220:1::1", 44, 0, 0, nil, drop},
		{"93.184.216.34", protoICMPv6, 0, 0, nil, drop},
	} {
		p, got := gateFor(t, c.rules...).judge(frame(netip.MustParseAddr(c.dst), c.proto, c.port, c.flags))
		if got != c.want {
			t.Errorf("%s, protocol %d, port %d, flags %#x, with %q: verdict %d, want %d (%+v)", c.dst, c.proto, c.port, c.flags, c.rules, got, c.want, p)
		}
	}
}

// What is cut in pieces or bent must not slip through.
func TestGateSeesThroughTricks(t *testing.T) {
	t.Parallel()
	rules := []string{"localhost:5432"}
	for name, bend := range map[string]func(f []byte) []byte{
		"first fragment":        func(f []byte) []byte { f[20] = 0x20; return f },
		"later fragment":        func(f []byte) []byte { f[21] = 1; return f },
		"header of four bytes":  func(f []byte) []byte { f[14] = 0x41; return f },
		"header beyond the end": func(f []byte) []byte { f[14] = 0x4f; return f },
		"length beyond the end": func(f []byte) []byte { f[17] = 200; return f },
		"length of nothing":     func(f []byte) []byte { f[17] = 3; return f },
		"TCP of eight bytes":    func(f []byte) []byte { f[17] = 28; return f },
		"another version":       func(f []byte) []byte { f[14] = 0x65; return f },
		"a VLAN": func(f []byte) []byte {
			return append(append(append([]byte{}, f[:12]...), 0x81, 0, 0, 1), f[12:]...)
		},
		"cut off":                func(f []byte) []byte { return f[:30] },
		"no more than addresses": func(f []byte) []byte { return f[:12] },
	} {
		whole := frame(netip.MustParseAddr("192.168.5.2"), protoTCP, 5432, syn)
		if _, got := gateFor(t, rules...).judge(whole); got != pass {
			t.Fatal("the frame as it is does not pass")
		}
		if _, got := gateFor(t, rules...).judge(bend(whole)); got == pass {
			t.Errorf("%s: it passes", name)
		}
	}
}

// wrapped returns the IPv6 addresses in which translators and tunnels find an IPv4 address.
func wrapped(addr netip.Addr) []netip.Addr {
	v4 := addr.As4()
	within := func(text string, at ...int) netip.Addr {
		bytes := netip.MustParseAddr(text).As16()
		for i, at := range at {
			bytes[at] = v4[i]
		}
		return netip.AddrFrom16(bytes)
	}
	teredo := within("2001:0:53aa:64c:1234:5678::", 12, 13, 14, 15).As16()
	for i := 12; i < 16; i++ {
		teredo[i] ^= 0xff
	}
	return []netip.Addr{
		within("::ffff:0:0", 12, 13, 14, 15), within("::", 12, 13, 14, 15), within("::ffff:0:0:0", 12, 13, 14, 15),
		within("64:ff9b::", 12, 13, 14, 15), within("64:ff9b:1::", 12, 13, 14, 15), within("64:ff9b:1:7::", 12, 13, 14, 15),
		within("64:ff9b:1::", 6, 7, 9, 10), within("64:ff9b:1::", 7, 9, 10, 11), within("64:ff9b:1::", 9, 10, 11, 12),
		within("2002::", 2, 3, 4, 5), within("2002::5:6", 2, 3, 4, 5),
		netip.AddrFrom16(teredo), within("2001::1", 4, 5, 6, 7),
		within("2606:2800:220:1:0:5efe::", 12, 13, 14, 15), within("fd00::200:5efe:0:0", 12, 13, 14, 15),
	}
}

// TestGuardedPlaces holds for any rule, for every address that leads to the host or to what trusts
// it, and for every form of it: nothing but a rule for that one address opens it, and for the
// loopback nothing but localhost.
func TestGuardedPlaces(t *testing.T) {
	t.Parallel()
	here := netip.MustParsePrefix("203.0.113.7/24")
	places := map[string]*rapid.Generator[netip.Addr]{
		"loopback": within4("127.0.0.0/8"), "nobody": within4("0.0.0.0/8"), "link": within4("169.254.0.0/16"), "QEMU": within4("192.168.5.0/24"),
		"itself": rapid.Just(here.Addr()), "Azure": rapid.Just(netip.MustParseAddr("168.63.129.16")),
		"others": rapid.SampledFrom([]netip.Addr{
			netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"), netip.MustParseAddr("169.254.169.254"),
			netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("192.168.5.2"),
		}),
	}
	six := rapid.SampledFrom([]netip.Addr{
		netip.MustParseAddr("::1"), netip.MustParseAddr("::"), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fe80::a9fe:a9fe"),
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"), netip.MustParseAddr("2001:db8::7"),
		netip.MustParseAddr("fec0::2"), netip.MustParseAddr("fec0::9"),
	})
	rapid.Check(t, func(t *rapid.T) {
		dst := six.Draw(t, "six")
		if place := rapid.SampledFrom([]string{"loopback", "nobody", "link", "QEMU", "itself", "Azure", "others", "six"}).Draw(t, "place"); place != "six" {
			inner := places[place].Draw(t, "inner")
			dst = rapid.SampledFrom(append(wrapped(inner), inner)).Draw(t, "dst")
		}
		around := netip.PrefixFrom(dst, rapid.IntRange(0, dst.BitLen()-1).Draw(t, "bits")).Masked()
		port := rapid.SampledFrom([]string{"", ":80"}).Draw(t, "port")
		rules := []string{"[" + around.String() + "]" + port, "name.example" + port, "0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "nas.local"}
		var parsed []Rule
		for _, text := range rules {
			rule, err := ParseRule(text)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, rule)
		}
		known := &names{known: map[string][]netip.Addr{"name.example": {dst, dst.Unmap()}}}
		around6 := func() []netip.Prefix { return []netip.Prefix{here, netip.MustParsePrefix("2001:db8::7/64")} }
		proto := rapid.SampledFrom([]byte{protoTCP, protoUDP}).Draw(t, "proto")
		sent := frame(dst, proto, 80, syn)
		if _, got := newGate(parsed, known, around6).judge(sent); got == pass {
			t.Fatalf("%v passes with %q", dst, rules)
		}
		alone, err := ParseRule("[" + dst.String() + "]" + port)
		if err != nil {
			t.Fatal(err)
		}
		_, got := newGate([]Rule{alone}, known, around6).judge(sent)
		itself := alone.Prefix == netip.PrefixFrom(dst, dst.BitLen()) && !(subnet.Contains(dst) || subnet6.Contains(dst)) || dst == host || dst == host6
		if (got == pass) != itself {
			t.Fatalf("%v, with %q alone: %d", dst, alone, got)
		}
	})
}

// within4 draws addresses of a network.
func within4(text string) *rapid.Generator[netip.Addr] {
	prefix := netip.MustParsePrefix(text)
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		bytes, any := prefix.Addr().As4(), rapid.Uint32().Draw(t, "any")&(1<<(32-prefix.Bits())-1)
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(bytes[:])|any)))
	})
}

// Closed without a rule is whatever the internet does not know, in each of its forms, and open is
// the rest.
func TestSpecialPlaces(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.1.2.3", "168.63.129.16", "169.254.1.1", "172.31.255.255", "192.0.0.9",
		"192.88.99.1", "192.168.9.9", "198.18.0.1", "198.19.255.255", "240.0.0.1",
		"::2", "100::1", "100:0:0:1::1", "200::1", "2001::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1::1", "2001:db8:ffff::1",
		"3fff::1", "4000::1", "5f00::1", "64:ff9b:1::1", "64:ff9b:2::1", "fc00::1", "fd00::1", "fe80::1", "fec0:1::1",
	} {
		addr := netip.MustParseAddr(text)
		forms := []netip.Addr{addr}
		if addr.Is4() {
			forms = append(forms, wrapped(addr)...)
		}
		for _, form := range forms {
			if _, got := gateFor(t).judge(frame(form, protoTCP, 80, syn)); got != refuse {
				t.Errorf("%s as %v: verdict %d", text, form, got)
			}
		}
	}
	for _, text := range []string{
		"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "168.63.129.15", "172.32.0.1", "192.0.1.1", "198.17.255.255", "198.20.0.1", "223.1.1.1",
		"2600::1", "2001:200::1", "2001:4860:4860::8888", "2a00::1", "3ffe::1", "64:ff9b::8.8.8.8", "2002:808:808::1",
	} {
		if _, got := gateFor(t).judge(frame(netip.MustParseAddr(text), protoTCP, 80, syn)); got != pass {
			t.Errorf("%s: verdict %d", text, got)
		}
	}
}

// Nothing reaches a place of the host's network that no rule names, whatever the frame is.
func FuzzGate(f *testing.F) {
	f.Add(frame(netip.MustParseAddr("192.168.5.2"), protoTCP, 22, syn))
	f.Add(frame(netip.MustParseAddr("fec0::2"), protoTCP, 22, syn))
	f.Add(frame(netip.MustParseAddr("10.0.0.1"), protoUDP, 22, 0))
	f.Fuzz(func(t *testing.T, frame []byte) {
		g := gateFor(t, "10.0.0.1:22")
		p, verdict := g.judge(frame)
		switch verdict {
		case refuse:
			if answer := refusal(frame, p); answer != nil && len(answer) < etherHeader+28 {
				t.Errorf("an answer of %d bytes", len(answer))
			}
		case pass:
			if binary.BigEndian.Uint16(frame[12:]) == etherARP {
				return
			}
			if g.closed(p.dst) && !g.service(p) && !(p.dst == netip.MustParseAddr("10.0.0.1") && p.port == 22) {
				t.Errorf("%+v passes", p)
			}
			if p.proto == protoTCP && subnet.Contains(p.dst) && frame[14]&15 == 5 && frame[etherHeader+33]&(rst|ack) == 0 && !(p.dst == dns && p.port == 53) {
				t.Errorf("a connection to %v is opened", p.dst)
			}
			// As QEMU reads it: where the header says, and nothing else.
			if p.dst.Is4() && p.dst != netip.AddrFrom4([4]byte(frame[30:34])) {
				t.Errorf("%v is not what the frame says", p.dst)
			}
		}
	})
}

// What QEMU passes on is cut where its lengths say, and nothing larger than a frame can be is ever held.
func FuzzRead(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x03abc\x00\x00\x00\x00\x00\x00\x00\x01"))
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		from := bufio.NewReader(bytes.NewReader(stream))
		var again []byte
		for {
			frame, err := read(from)
			if err != nil {
				break
			}
			if len(frame) > maxFrame {
				t.Fatalf("a frame of %d bytes", len(frame))
			}
			again = append(binary.BigEndian.AppendUint32(again, uint32(len(frame))), frame...)
		}
		if !bytes.HasPrefix(stream, again) {
			t.Errorf("% x was read as % x", stream, again)
		}
	})
}

// As a receiver checks it: with the sum in place all adds up to nothing.
func TestRefusal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		to := netip.MustParseAddr(rapid.SampledFrom([]string{"10.0.0.1", "192.168.5.2", "fec0::2"}).Draw(t, "to"))
		proto := rapid.SampledFrom([]byte{protoTCP, protoUDP}).Draw(t, "proto")
		sent := frame(to, proto, rapid.Uint16Min(1).Draw(t, "port"), syn)
		p, verdict := gateFor(&testing.T{}).judge(sent)
		if verdict != refuse {
			if p.port == 53 || p.port == 67 {
				return
			}
			t.Fatalf("%v is not refused", p)
		}
		answer := refusal(sent, p)
		if !bytes.Equal(answer[:6], sent[6:12]) || !bytes.Equal(answer[6:14], append(sent[0:6:6], sent[12:14]...)) {
			t.Error("it goes elsewhere")
		}
		ip := answer[etherHeader:]
		if to.Is4() {
			if checksum(ip[:20]) != 0 || checksum(ip[20:]) != 0 {
				t.Error("a checksum is wrong")
			}
			if !bytes.Equal(ip[28:], sent[etherHeader:etherHeader+28]) {
				t.Error("it does not quote what it is about")
			}
			return
		}
		pseudo := append(append([]byte{}, ip[8:40]...), 0, 0, ip[4], ip[5], 0, 0, 0, protoICMPv6)
		if checksum(append(pseudo, ip[40:]...)) != 0 {
			t.Error("the checksum is wrong")
		}
	})
	ping := frame(netip.MustParseAddr("10.0.0.1"), protoICMP, 0, 0)
	p, _ := gateFor(t).judge(ping)
	if refusal(ping, p) == nil {
		t.Error("a ping is not answered")
	}
	ping[etherHeader+20] = 3
	if refusal(ping, p) != nil {
		t.Error("an error is answered by an error")
	}
}

func send(t *testing.T, to io.Writer, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := to.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)); err != nil {
			t.Error(err)
		}
	}
}

func receive(t *testing.T, from net.Conn) []byte {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		t.Fatal(err)
	}
	f := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(from, f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestStand(t *testing.T) {
	t.Parallel()
	var ours [3]net.Conn
	var theirs [3]io.ReadWriter
	for i := range ours {
		a, b := net.Pipe()
		ours[i], theirs[i] = a, b
	}
	var report bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- Stand(t.Context(), Plugs{theirs[0], theirs[1], theirs[2]}, nil, &report) }()

	good := frame(netip.MustParseAddr("93.184.216.34"), protoTCP, 443, syn)
	bad := frame(netip.MustParseAddr("192.168.5.2"), protoTCP, 5432, syn)
	send(t, ours[0], bad, bad, good)
	if got := receive(t, ours[1]); !bytes.Equal(got, good) {
		t.Errorf("what arrives is % x", got)
	}
	if got := receive(t, ours[2]); got[etherHeader+20] != 3 || got[etherHeader+21] != 13 {
		t.Errorf("the guest is told % x", got)
	}
	// Nobody takes what comes after this: the wall goes on to read, or QEMU would wait for it and it for QEMU.
	for range queued + 100 {
		send(t, ours[0], good)
	}
	ours[0].Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if report.String() != "localhost:5432\n" {
		t.Errorf("reported is %q", &report)
	}
}

func TestStandEndsWithNonsense(t *testing.T) {
	t.Parallel()
	from := bytes.NewBufferString("\xff\xff\xff\xff")
	if err := Stand(t.Context(), Plugs{from, new(bytes.Buffer), new(bytes.Buffer)}, nil, io.Discard); err == nil {
		t.Error("a frame of four gigabytes is taken")
	}
}
