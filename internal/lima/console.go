package lima

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// serialLogs are the files in which Lima keeps what a guest prints on its consoles.
var serialLogs = []string{"serial.log", "serialv.log", "serialp.log"}

// agentLogs are the files in which a limactl that stays with a guest keeps what it says.
var agentLogs = []string{"ha.stdout.log", "ha.stderr.log"}

const (
	// glimpse is how many bytes of a console are read at a time: a guest may print without end, and somebody may want us to
	// stop meanwhile.
	glimpse = 4 << 20
	// tailBytes and tailLines are how much of a console's end is worth showing.
	tailBytes = 16 << 10
	tailLines = 15
)

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
