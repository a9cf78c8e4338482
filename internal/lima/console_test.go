package lima

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A word is found wherever what a guest prints happens to be cut, and nothing of that is kept.
func FuzzSearch(f *testing.F) {
	f.Add([]byte("the kernel boots\nready\n"), "ready", "not syncing", uint8(3))
	f.Add([]byte("rereready"), "ready", "re", uint8(1))
	f.Add([]byte("\x00\xff\r\n"), "\xff\r", "\x00\x00", uint8(2))
	f.Add([]byte(strings.Repeat("a", 300)+"b"), strings.Repeat("a", 200)+"b", "ab", uint8(7))
	f.Fuzz(func(t *testing.T, text []byte, one, other string, cut uint8) {
		if one == "" || other == "" {
			return
		}
		s := search{words: []string{one, other}, found: map[string]bool{}}
		for rest := text; len(rest) > 0; {
			piece := rest[:min(len(rest), 1+int(cut))]
			rest = rest[len(piece):]
			if n, err := s.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
			if len(s.last) >= max(len(one), len(other)) {
				t.Fatalf("%d bytes are kept", len(s.last))
			}
		}
		for _, word := range s.words {
			if s.found[word] != bytes.Contains(text, []byte(word)) {
				t.Errorf("%q in %q, in pieces of %d: %v", word, text, 1+int(cut), s.found[word])
			}
		}
	})
}

// A guest that prints without end costs neither memory nor the end of what it has printed.
func TestConsoleWithoutEnd(t *testing.T) {
	t.Parallel()
	c := &Client{Home: t.TempDir()}
	path := filepath.Join(c.Dir("x"), "serial.log")
	if err := os.Mkdir(c.Dir("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 40 // of a file that is mostly a hole
	write := func(text string, at int64) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteAt([]byte(text), at); err != nil {
			t.Skip(err) // no file system for such files
		}
	}
	write("\nthe last line\n", size)
	if tail := c.SerialTail("x"); !strings.HasSuffix(tail, "\nthe last line") || len(tail) > tailBytes {
		t.Errorf("%d bytes, %.100q", len(tail), tail)
	}
	log := console{path: path, search: search{words: []string{"ready"}, found: map[string]bool{}}}
	log.look()
	if log.read != glimpse || log.found["ready"] {
		t.Errorf("one look reads %d bytes: %v", log.read, log.found)
	}
	write("ready", glimpse-2) // what was read before does not come again
	write("rea", 2*glimpse-3)
	write("dy", 2*glimpse)
	log.look()
	log.look()
	if !log.found["ready"] {
		t.Error("a word between two looks is not found")
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	log.look()
	write("begun anew", 0)
	if log.look(); log.read != int64(len("begun anew")) {
		t.Errorf("of a file that was begun anew %d bytes are read", log.read)
	}
}

// What a guest prints without end takes little of the disk, though QEMU goes on writing.
func TestTrimConsoles(t *testing.T) {
	t.Parallel()
	c := &Client{Home: t.TempDir()}
	if err := os.Mkdir(c.Dir("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	go c.Tend(t.Context(), "x", nil)
	for _, name := range []string{"serial.log", "serialv.log", "serialp.log", "ha.stdout.log", "ha.stderr.log"} {
		log, err := os.Create(filepath.Join(c.Dir("x"), name))
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		taken := func() int64 {
			info, err := log.Stat()
			if err != nil {
				t.Fatal(err)
			}
			return info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		for range 2 {
			for range maxConsole/glimpse + 1 {
				if _, err := log.Write(make([]byte, glimpse)); err != nil {
					t.Fatal(err)
				}
			}
			for end := time.Now().Add(time.Minute); taken() > maxConsole; time.Sleep(poll) {
				if time.Now().After(end) {
					t.Fatalf("%s: %d bytes are still there", name, taken())
				}
			}
		}
	}
}
