package tool

import _ "embed"

//go:embed docker.sh
var dockerScript string

func docker() Tool {
	return Tool{
		Name: "docker", Summary: "Docker Engine, and Compose as docker compose and docker-compose",
		Packages: []string{"docker.io", "docker-cli", "docker-compose", "docker-buildx", "iptables"},
		Script:   dockerScript,
		Units:    []string{"docker.socket"},
		Checks:   []string{"docker --version", "docker compose version", "docker-compose version", "docker info >/dev/null"},
	}
}
