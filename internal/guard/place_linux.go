package guard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// lists are the access control lists of a folder: its own, and the one that what is made in it
// gets.
type lists struct {
	Access  []byte `json:"access,omitempty"`
	Default []byte `json:"default,omitempty"`
}

const (
	accessList  = "system.posix_acl_access"
	defaultList = "system.posix_acl_default"
)

func (l lists) same(m lists) bool {
	return bytes.Equal(l.Access, m.Access) && bytes.Equal(l.Default, m.Default)
}

func listsOf(f *os.File) lists { return lists{attribute(f, accessList), attribute(f, defaultList)} }

func attribute(f *os.File, name string) []byte {
	value := make([]byte, 4096)
	if n, err := unix.Fgetxattr(int(f.Fd()), name, value); err == nil {
		return value[:n]
	}
	return nil
}

// put gives a folder these lists.
func (l lists) put(f *os.File) (err error) {
	for name, value := range map[string][]byte{accessList: l.Access, defaultList: l.Default} {
		switch was := attribute(f, name); {
		case bytes.Equal(was, value):
		case len(value) == 0:
			err = errors.Join(err, unix.Fremovexattr(int(f.Fd()), name))
		default:
			err = errors.Join(err, unix.Fsetxattr(int(f.Fd()), name, value, 0))
		}
	}
	return err
}

// inherited are the lists that a new folder has from the one around it, where the user has set
// some.
func (s *scanner) inherited(rel string) lists {
	for dir := path.Dir(rel); ; dir = path.Dir(dir) {
		was, known := s.before.Folders[dir]
		if is := s.Folders[rel].Lists; known && len(was.Lists.Default) > 0 && bytes.Equal(is.Default, was.Lists.Default) {
			return is // the other one depends on how the folder was made
		}
		if known || dir == "." {
			return lists{}
		}
	}
}

// unlockArea lets us into an area that a session has closed. It changes no other folder that has
// come in its place.
func unlockArea(name, noted string) error {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // whoever looks at it sees that
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if noted != "" && place(info) != noted {
		return errExchanged
	}
	if info.Mode().Perm()&toRead != toRead {
		// Where this fails, it is said that the area cannot be looked at.
		_ = os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), info.Mode()&fs.ModePerm|toChange)
	}
	return nil
}
