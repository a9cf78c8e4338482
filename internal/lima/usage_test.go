package lima

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	c := &Client{Home: t.TempDir(), Env: os.Environ()}
	machine := taken(t, "qemu-system-x86_64", "file="+c.Dir("running")+"/disk")
	for name, pid := range map[string]string{"running": fmt.Sprintln(machine.Process.Pid), "stopped": "", "strange": "-1"} {
		if err := os.Mkdir(c.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.Dir(name), "qemu.pid"), []byte(pid), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	usage := c.Usage(t.Context(), []string{"running", "stopped", "strange", "gone"})
	if u := usage["running"]; len(usage) != 1 || u.Memory < 1<<20 || u.Memory > 1<<36 || u.CPU < 0 {
		t.Errorf("%+v", usage)
	}
	if usage := c.Usage(t.Context(), nil); len(usage) != 0 {
		t.Errorf("%+v", usage)
	}
}
