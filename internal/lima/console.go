package lima

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// serialLogs are the files in which Lima keeps what a guest prints on its consoles.
var serialLogs = []string{"serial.log", "serialv.log", "serialp.log"}

const (
	// glimpse is how many bytes of a console are read at a time: a guest may print without end, and somebody may want us to
	// stop meanwhile.
	glimpse = 4 << 20
	// tailBytes and tailLines are how much of a console's end is worth showing.
	tailBytes = 16 << 10
	tailLines = 15
	// maxConsole is how many bytes of a console are kept on the disk, and trim how often they are counted.
	maxConsole = 16 << 20
	trim       = time.Second
)

// TrimConsoles throws away what an instance has printed on a console whenever it is much, until the context ends. QEMU would
// write all that a guest prints to the host's disk.
func (c *Client) TrimConsoles(ctx context.Context, name string) {
	again := time.NewTicker(trim)
	defer again.Stop()
	for {
		for _, log := range serialLogs {
			path := filepath.Join(c.Dir(name), log)
			info, err := os.Lstat(path)
			if err != nil {
				continue
			}
			// QEMU goes on writing where it was. What counts is what the file takes of the disk, in blocks of 512 bytes.
			if taken, ok := info.Sys().(*syscall.Stat_t); ok && taken.Blocks*512 > maxConsole {
				_ = os.Truncate(path, 0)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// SerialTail returns the last lines of an instance's serial log.
func (c *Client) SerialTail(name string) string {
	for _, log := range serialLogs {
		text := bytes.TrimSpace(endOf(filepath.Join(c.Dir(name), log), tailBytes))
		if len(text) == 0 {
			continue
		}
		all := strings.Split(string(text), "\n")
		return strings.Join(all[max(0, len(all)-tailLines):], "\n")
	}
	return ""
}

// endOf returns the last bytes of a file, nothing if it cannot be read.
func endOf(path string, size int64) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.NewSectionReader(file, max(0, info.Size()-size), size))
	return text
}

// console looks for words in a file that grows.
type console struct {
	path string
	read int64
	search
}

// look reads on in the file.
func (c *console) look() {
	info, err := os.Stat(c.path)
	if err != nil || info.Size() == c.read {
		return
	}
	if info.Size() < c.read { // it was begun anew
		c.read, c.last = 0, nil
	}
	file, err := os.Open(c.path)
	if err != nil {
		return
	}
	defer file.Close()
	n, _ := io.Copy(&c.search, io.NewSectionReader(file, c.read, glimpse))
	c.read += n
}

// search finds words in what is written to it, and keeps no more of that than the beginning of a word may be.
type search struct {
	words []string
	found map[string]bool
	last  []byte
}

func (s *search) Write(piece []byte) (int, error) {
	text := append(s.last, piece...)
	keep := 0
	for _, word := range s.words {
		if bytes.Contains(text, []byte(word)) {
			s.found[word] = true
		}
		keep = max(keep, len(word)-1)
	}
	s.last = append(s.last[:0], text[max(0, len(text)-keep):]...)
	return len(piece), nil
}
