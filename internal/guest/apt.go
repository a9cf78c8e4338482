package guest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	// aptLine is how long a line may be that tells of apt's progress, in bytes. Those of apt are much shorter.
	aptLine = 1 << 10
	// aptText is how much of such a line is shown, in characters.
	aptText = 60
)

// AptProgress returns a writer for the standard output of scripts that install packages. What apt says there of how far it is
// ("Unpacking jq (amd64) 61%") goes to says, and all the rest to log as it is. Close passes on a line that has not ended.
//
// Everything comes from the guest: whoever shows what goes to says makes it safe to show.
func AptProgress(log io.Writer, says func(string)) io.WriteCloser {
	return &aptProgress{log: log, says: says}
}

type aptProgress struct {
	log  io.Writer
	says func(string)
	rest []byte // a line that has not ended yet
}

func (p *aptProgress) Write(text []byte) (int, error) {
	p.rest = append(p.rest, text...)
	for len(p.rest) > 0 {
		end := bytes.IndexByte(p.rest, '\n') + 1
		if end == 0 && len(p.rest) < aptLine {
			break
		}
		if end == 0 {
			end = len(p.rest)
		}
		if err := p.pass(p.rest[:end]); err != nil {
			return 0, err
		}
		p.rest = p.rest[end:]
	}
	return len(text), nil
}

func (p *aptProgress) pass(line []byte) error {
	if progress, ok := aptStatus(string(line)); !ok {
		_, err := p.log.Write(line)
		return err
	} else if progress != "" {
		p.says(progress)
	}
	return nil
}

func (p *aptProgress) Close() error {
	line := p.rest
	p.rest = nil
	return p.pass(line)
}

// aptStatus reads a line that apt writes to its APT::Status-Fd: "dlstatus:FILE:PERCENT:TEXT" while it downloads,
// "pmstatus:PACKAGE:PERCENT:TEXT" while dpkg runs, and two kinds that repeat what is said elsewhere, of which progress is
// empty. apt's README.progress-reporting describes them. The percentage is that of the whole download, or of all packages.
func aptStatus(line string) (progress string, ok bool) {
	parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 4)
	if len(line) > aptLine || len(parts) < 4 {
		return "", false
	}
	percent, err := strconv.ParseFloat(parts[2], 64)
	if err != nil || !(percent >= 0 && percent <= 100) {
		return "", false
	}
	switch parts[0] {
	case "dlstatus":
		if percent == 100 { // and what apt does with it may take a while
			return "downloaded", true
		}
		return fmt.Sprintf("downloading %.0f%%", percent), true
	case "pmstatus":
		text := []rune(parts[3])
		return fmt.Sprintf("%s %.0f%%", string(text[:min(len(text), aptText)]), percent), true
	case "pmerror", "pmconffile":
		return "", true
	}
	return "", false
}
