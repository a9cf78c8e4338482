package lima

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// fakeQEMU answers at an instance's socket as a QEMU does whose VM stands still, and notes when it is told to go on.
func fakeQEMU(t *testing.T, path string, goesOn chan<- struct{}) {
	t.Helper()
	door, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { door.Close() })
	go func() {
		for {
			conn, err := door.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": ["oob"]}}`)
			for said := json.NewDecoder(conn); ; {
				var asked struct {
					Execute string
					ID      *int
				}
				if said.Decode(&asked) != nil {
					break
				}
				fmt.Fprintln(conn, `{"event": "BLOCK_IO_ERROR", "data": {"nospace": true}}`)
				switch {
				case asked.Execute == "cont":
					goesOn <- struct{}{}
					fmt.Fprintf(conn, `{"return": {}, "id": %d}`, *asked.ID)
				case asked.ID != nil:
					fmt.Fprintf(conn, `{"return": {"status": "io-error", "running": false}, "id": %d}`, *asked.ID)
				default:
					fmt.Fprint(conn, `{"return": {}}`)
				}
			}
			conn.Close()
		}
	}()
}

// A VM that stands still because the disk is full goes on when there is room, and not before.
func TestGuestOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/tmp", "cvm-tend-") // sockets have short names
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var space atomic.Int64
	space.Store(room - 1)
	c := &Client{Home: dir, FreeSpace: func(string) (int64, error) { return space.Load(), nil }}
	if err := os.Mkdir(c.Dir("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	goesOn := make(chan struct{}, 1)
	fakeQEMU(t, filepath.Join(c.Dir("x"), "qmp.sock"), goesOn)
	told := make(chan bool)
	go c.Tend(t.Context(), "x", func(stands bool) { told <- stands })
	if !<-told {
		t.Error("it is said to go on before it was said to stand still")
	}
	select {
	case <-goesOn:
		t.Error("it goes on without any room")
	case <-time.After(2 * tend):
	}
	space.Store(room)
	<-goesOn
	if <-told {
		t.Error("it is said to stand still again")
	}
}
