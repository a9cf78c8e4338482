package lima

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ErrNoImage means that the guest image asked for is not there.
var ErrNoImage = errors.New("there is no such guest image")

// Images resolves what the user calls an image: the name of a Lima template ("template:debian-13"), the path or URL of a
// disk image, or a folder that holds disk.qcow2, vmlinuz, initrd.img and cmdline.
func (c *Client) Images(ctx context.Context, ref string) ([]Image, error) {
	switch {
	case strings.HasPrefix(ref, "template:"):
		return c.templateImages(ctx, ref)
	case strings.Contains(ref, "://"):
		return []Image{{Location: ref, Arch: Arch()}}, nil
	}
	info, err := os.Stat(ref)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	if !info.IsDir() {
		return []Image{{Location: ref, Arch: Arch()}}, nil
	}
	file := func(name string) string { return filepath.Join(ref, name) }
	for _, name := range []string{"disk.qcow2", "vmlinuz", "initrd.img"} {
		if _, err := os.Stat(file(name)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoImage, err)
		}
	}
	cmdline, err := os.ReadFile(file("cmdline"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	return []Image{{
		Location: file("disk.qcow2"),
		Arch:     Arch(),
		Kernel:   &Kernel{File: File{Location: file("vmlinuz")}, Cmdline: string(bytes.TrimSpace(cmdline))},
		Initrd:   &File{Location: file("initrd.img")},
	}}, nil
}

// templateImages takes the images of a Lima template, and nothing else of it: its mounts are not ours.
func (c *Client) templateImages(ctx context.Context, ref string) ([]Image, error) {
	var out bytes.Buffer
	cmd := c.command("template", "copy", "--embed", ref, "-")
	cmd.Stdout = &out
	if err := run(ctx, "reading Lima's template "+ref, templateTime, cmd); errors.Is(err, ErrHangs) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoImage, err)
	}
	var doc struct {
		Images []Image `yaml:"images"`
	}
	if err := yaml.Unmarshal(out.Bytes(), &doc); err != nil {
		return nil, fmt.Errorf("reading Lima's template %s: %w", ref, err)
	}
	var images []Image
	for _, image := range doc.Images {
		if image.Arch == "" || image.Arch == Arch() {
			images = append(images, image)
		}
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%w: Lima's template %s has none for %s", ErrNoImage, ref, Arch())
	}
	return images, nil
}
