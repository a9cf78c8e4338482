package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestClosedDoors has the guest look for what listens on this computer, as the root that it is.
func TestClosedDoors(t *testing.T) {
	w := real(t)
	var visits atomic.Int32
	secret := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		fmt.Fprintln(w, "the secret")
	})
	everywhere, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(secret)
	server.Listener.Close()
	server.Listener = everywhere
	server.Start()
	t.Cleanup(server.Close)
	port := everywhere.Addr().(*net.TCPAddr).Port
	datagrams, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagrams.Close() })
	go func() {
		for buffer := make([]byte, 100); ; visits.Add(1) {
			if _, _, err := datagrams.ReadFrom(buffer); err != nil {
				return
			}
		}
	}()

	places := []string{"host.lima.internal", "192.168.5.2", "192.168.5.3", "192.168.5.77", "127.0.0.1", "[fec0::2]", "[fec0::3]", "[::ffff:127.0.0.1]"}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if ip := address.(*net.IPNet).IP; !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			host, _, _ := net.SplitHostPort(net.JoinHostPort(ip.String(), "0"))
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			places = append(places, host)
		}
	}
	// Rules of its own are no use to the guest's root, nor is a route.
	script := fmt.Sprintf(`sudo ip route add 127.0.0.0/8 via 192.168.5.2 table 100
		sudo ip rule add pref 0 to 127.0.0.0/8 dport %[1]d lookup 100
		for place in %[2]s; do curl -sS --max-time 10 "http://$place:%[1]d/"; done
		for place in 192.168.5.2 192.168.5.3; do echo knock >/dev/udp/$place/%[1]d; done
		mirror=$(grep -rhoE 'https?://[^/ ]+' /etc/apt/sources.list* | head -n 1)
		echo "the name is $(getent hosts "${mirror#*//}" | wc -l)"`, port, strings.Join(places, " "))
	r := w.run(t, "", "shell", script)
	if visits.Load() != 0 || strings.Contains(r.out, "secret") {
		t.Errorf("%d visits from the VM: %s", visits.Load(), r.out)
	}
	if !strings.Contains(r.out, "the name is 1") {
		t.Error("no name can be looked up") // the VM must not be cut off altogether
	}
	if want := fmt.Sprintf("kept from localhost:%d", port); !strings.Contains(r.err, want) {
		t.Errorf("%q is not said", want)
	}

	// What is allowed is there; and when the wall is torn down nothing is any more. The guest says in a shared folder, which
	// needs no network, how often it has tried.
	tries := filepath.Join(w.project, "tries")
	tried := func() int {
		text, _ := os.ReadFile(tries)
		return len(text)
	}
	t.Cleanup(func() { os.Remove(tries) })
	done := make(chan result, 1)
	go func() {
		done <- w.run(t, "", "--allow-net", fmt.Sprint("localhost:", port), "shell",
			fmt.Sprintf("sudo sh -c 'head -c 40M /dev/zero >/dev/hvc0'; while sleep 1; do curl -sS --max-time 3 http://host.lima.internal:%d/; printf . >>tries; done", port))
	}()
	await(t, "a visit from the VM", func() bool { return visits.Load() > 1 })
	// What it has printed on a console before that is not kept on this computer's disk.
	consoles, err := filepath.Glob(filepath.Join(w.state, "vm/ses_*/serialv.log"))
	if err != nil || len(consoles) != 1 {
		t.Fatalf("there are the consoles %v: %v", consoles, err)
	}
	await(t, "a console that takes little of the disk", func() bool {
		info, err := os.Stat(consoles[0])
		return err == nil && info.Sys().(*syscall.Stat_t).Blocks*512 < 20<<20
	})
	walls := w.walls()
	if len(walls) != 1 {
		t.Fatalf("there are the walls %v", walls)
	}
	if err := syscall.Kill(walls[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the wall", func() bool { return len(w.walls()) == 0 })
	before, reached := tried(), visits.Load()+1 // one may be under way
	await(t, "the VM's next tries", func() bool { return tried() > before+3 })
	if more := visits.Load() - reached; more > 0 {
		t.Errorf("%d visits without a wall", more)
	}
	if r := w.run(t, "", "stop"); r.code != 0 {
		t.Errorf("stop: code %d", r.code)
	}
	if r := <-done; r.code == 0 {
		t.Error("the session has succeeded")
	}
	w.gone(t)
}

// walls returns the processes that stand between VMs and this computer.
func (w *world) walls() (pids []int) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if strings.Contains(string(line), "\x00keep-wall\x00"+w.state+"/vm/") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}
