package lima

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/state"
)

// parts are the files of an instance that never change once it is sealed, by the names that Lima gives them.
var parts = []string{"disk", "kernel", "initrd"}

// leftovers are the files that Lima makes anew at each start.
var leftovers = []string{"cidata.iso", "cloud-config.yaml", "serial.log", "serialv.log", "serialp.log", "ha.stdout.log", "ha.stderr.log", "ssh.config", "ssh.log"}

// Seal moves the disk of a stopped instance to folder, for good and read-only, and leaves a thin overlay in its place:
// from then on copies of the instance share that disk and cost some 100 kB each. No power cut does it any harm then. Apple's
// framework cannot stack disks, and needs not: its copies are clones within the file system. There Seal only clears away what
// Lima makes anew.
func (c *Client) Seal(ctx context.Context, name, folder string) error {
	dir := c.Dir(name)
	if err := c.clear(name); err != nil {
		return err
	}
	if Driver(runtime.GOOS) != "qemu" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	sealed := []string{folder, filepath.Dir(folder)}
	for _, part := range parts {
		from, to := filepath.Join(dir, part), filepath.Join(folder, part)
		if err := os.Rename(from, to); errors.Is(err, fs.ErrNotExist) {
			continue // an image with a boot loader has no kernel beside it
		} else if err != nil {
			return err
		}
		if err := os.Chmod(to, 0o400); err != nil {
			return err
		}
		sealed = append(sealed, to)
	}
	if err := state.Sync(sealed...); err != nil {
		return fmt.Errorf("writing the disk of the VM: %w", err)
	}
	return c.overlay(ctx, filepath.Join(folder, "disk"), filepath.Join(dir, "disk"))
}

// clear removes what earlier boots of a stopped instance have left.
func (c *Client) clear(name string) error {
	for _, file := range leftovers {
		if err := os.Remove(filepath.Join(c.Dir(name), file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// clusterSize is what a thin disk grows by. A boot writes to a dozen places: with qemu-img's own 64 kB a session begins with
// some 900 kB on the disk, with 32 kB it is 520 kB, and writing large files is a tenth slower. (16 kB saves no more.)
const clusterSize = "cluster_size=32k"

func (c *Client) overlay(ctx context.Context, backing, file string) error {
	err := proc.Run(ctx, proc.Cmd{
		Argv: []string{"qemu-img", "create", "-q", "-f", "qcow2", "-o", clusterSize, "-F", "qcow2", "-b", backing, file},
		Env:  c.Env,
	})
	if err != nil {
		return fmt.Errorf("making a thin disk: %w", full(err))
	}
	return nil
}

// Link gives a copy of a sealed instance the parts that it does not carry itself. limactl's clone follows the links of the
// original: what it has copied is replaced.
func (c *Client) Link(name, folder string) error {
	for _, part := range parts[1:] {
		sealed, file := filepath.Join(folder, part), filepath.Join(c.Dir(name), part)
		if _, err := os.Stat(sealed); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(sealed, file); err != nil {
			return err
		}
	}
	return nil
}

// CheckSealed says whether a sealed instance still has all that it stands on.
func (c *Client) CheckSealed(name, folder string) error {
	for _, file := range []string{"disk", "lima.yaml"} {
		info, err := os.Stat(filepath.Join(c.Dir(name), file))
		if err == nil && info.Size() == 0 {
			err = fmt.Errorf("%s of %s is empty", file, name) // as power cuts leave them
		}
		if err != nil {
			return err
		}
	}
	if Driver(runtime.GOOS) != "qemu" {
		return nil
	}
	_, err := os.Stat(filepath.Join(folder, "disk"))
	return err
}

// SetBoot replaces a part of what a stopped or running instance is booted with from the next time on: "kernel", "initrd"
// or "kernel.cmdline".
func (c *Client) SetBoot(name, part string, content []byte) error {
	return os.WriteFile(filepath.Join(c.Dir(name), part), content, 0o600)
}

// Size returns how many bytes a folder takes on the disk, sparse files counted by what they hold.
func Size(folder string) int64 {
	var total int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // it goes away while we look
		}
		if info, err := entry.Info(); err == nil {
			total += allocated(info)
		}
		return nil
	})
	return total
}
