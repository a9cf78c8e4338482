package lima

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/themouette/claude-vm/internal/proc"
)

// What Lima does by itself, for comparison.

// StartPlain boots an instance and waits until limactl calls it ready: what Lima does by itself.
func (c *Client) StartPlain(ctx context.Context, name string) error {
	booting, err := c.start(ctx, c.Limactl, name, nil)
	if err != nil {
		return err
	}
	if err := booting.proc.Wait(); err != nil {
		return booting.failure(fmt.Errorf("%w: %w", ErrBoot, err))
	}
	return nil
}

// ShellPlain runs a command through limactl: what Lima does by itself.
func (c *Client) ShellPlain(ctx context.Context, name string, stdout io.Writer, argv ...string) error {
	cmd := c.command(append([]string{"shell", "--workdir=/", name}, argv...)...)
	cmd.Stdout = stdout
	return proc.Run(ctx, cmd)
}

// plainStopTime is longer than Lima itself waits for a guest.
const plainStopTime = 5 * time.Minute

// StopPlain shuts an instance down through limactl.
func (c *Client) StopPlain(ctx context.Context, name string) error {
	return run(ctx, "stopping the VM", plainStopTime, c.command("stop", "--tty=false", name))
}
