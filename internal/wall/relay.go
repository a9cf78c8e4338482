package wall

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Plugs are the connections of one VM with QEMU: what its guest sends comes out of From, goes on into To, and what is told
// to the guest goes into Back.
type Plugs struct{ From, To, Back io.ReadWriter }

const (
	// maxFrame is more than any frame that QEMU passes on, in bytes.
	maxFrame = 1 << 17
	// queued is how many frames wait for QEMU to take them. What is beyond is lost, as in any network: were the reader to
	// wait instead, QEMU, which waits while it writes, could wait for us for ever.
	queued = 4096
	// maxReported is how many places are reported that were out of reach.
	maxReported = 32
	// lookAgain is how often the names in rules are looked up.
	lookAgain = time.Minute
)

// Stand lets frames through as the rules say, until QEMU closes its connection. Each place that is out of reach is written to
// the report once, on a line.
func Stand(ctx context.Context, plugs Plugs, rules []Rule, report io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	known := &names{known: map[string][]netip.Addr{}}
	go known.lookUp(ctx, rules)
	gate := newGate(rules, known, Neighbors)

	on, back := make(chan []byte, queued), make(chan []byte, queued)
	defer close(on)
	defer close(back)
	go write(plugs.To, on)
	go write(plugs.Back, back)

	reported := map[string]bool{}
	from := bufio.NewReaderSize(plugs.From, 1<<18)
	for {
		frame, err := read(from)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p, verdict := gate.judge(frame)
		switch verdict {
		case pass:
			offer(on, frame)
		case refuse:
			if answer := refusal(frame, p); answer != nil {
				offer(back, answer)
			}
			if line := p.String(); !reported[line] && len(reported) < maxReported {
				reported[line] = true
				fmt.Fprintln(report, line)
			}
		}
	}
}

// String returns where a packet was to go, as a rule that would let it through.
func (p packet) String() string {
	return Rule{Prefix: netip.PrefixFrom(p.dst, p.dst.BitLen()), Port: p.port}.String()
}

// read reads a frame as QEMU passes it on: its length, four bytes with the greatest first, and then the frame.
func read(r *bufio.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxFrame {
		return nil, fmt.Errorf("QEMU announces a frame of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func offer(queue chan<- []byte, frame []byte) {
	select {
	case queue <- frame:
	default:
	}
}

// write passes frames on to QEMU, as many at once as there are. One that does not take them any more is about to go.
func write(to io.Writer, frames <-chan []byte) {
	w := bufio.NewWriterSize(to, 1<<16)
	for frame := range frames {
		_ = binary.Write(w, binary.BigEndian, uint32(len(frame)))
		_, _ = w.Write(frame)
		if len(frames) == 0 {
			_ = w.Flush()
		}
	}
}

// lookUp keeps what the names in rules mean up to date.
func (n *names) lookUp(ctx context.Context, rules []Rule) {
	for again := time.NewTicker(lookAgain); ; {
		for _, rule := range rules {
			if rule.Name == "" {
				continue
			}
			if addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", rule.Name); err == nil {
				for i := range addrs {
					addrs[i] = addrs[i].Unmap()
				}
				n.set(rule.Name, addrs)
			}
		}
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
	}
}

// refusal is a frame that tells the sender of another one that it is not let through; nil where no answer is due.
func refusal(frame []byte, p packet) []byte {
	// An error never answers an error, or there would be no end.
	const echo, echo6 = 8, 128
	data := frame[etherHeader:]
	var answer []byte
	if p.dst.Is4() {
		header := int(data[0]&15) * 4
		if p.proto == protoICMP && (len(data) <= header || data[header] != echo) {
			return nil
		}
		quoted := data[:min(len(data), header+8)]
		message := append([]byte{3, 13, 0, 0, 0, 0, 0, 0}, quoted...) // unreachable, by an administrator's word
		binary.BigEndian.PutUint16(message[2:], checksum(message))
		ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protoICMP, 0, 0}
		binary.BigEndian.PutUint16(ip[2:], uint16(20+len(message)))
		ip = append(append(ip, data[16:20]...), data[12:16]...)
		binary.BigEndian.PutUint16(ip[10:], checksum(ip))
		answer = append(ip, message...)
	} else {
		if p.proto == protoICMPv6 && (len(data) <= 40 || data[40] != echo6) {
			return nil
		}
		message := append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, data[:min(len(data), 1000)]...)
		ip := []byte{0x60, 0, 0, 0, 0, 0, protoICMPv6, 64}
		binary.BigEndian.PutUint16(ip[4:], uint16(len(message)))
		ip = append(append(ip, data[24:40]...), data[8:24]...)
		pseudo := append(append([]byte{}, ip[8:40]...), 0, 0, ip[4], ip[5], 0, 0, 0, protoICMPv6)
		binary.BigEndian.PutUint16(message[2:], checksum(append(pseudo, message...)))
		answer = append(ip, message...)
	}
	ether := append(append([]byte{}, frame[6:12]...), frame[0:6]...)
	return append(append(ether, frame[12:14]...), answer...)
}

// checksum is that of the internet protocols.
func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 == 1 {
		sum += uint32(data[len(data)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
