# SPDX-License-Identifier: MIT
"""Nchan: nginx and its module, from Debian. One worker, as a node of Muster is; its README's defaults (ten messages of each
channel are kept), its Redis in the default mode where several are one service."""
import pathlib
import shutil

from .peer import Peer, Server, debian_env, debian_folder, debian_version, run

PACKAGE = "libnginx-mod-nchan"
CONFIG = """load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/pid;
error_log stderr error;
{user}
events {{ worker_connections 20000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {upstream}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/sub/(.+)$ {{
            nchan_subscriber websocket; nchan_channel_id $1; nchan_subscriber_first_message newest; {redis}
        }}
        location ~ ^/pub/(.+)$ {{ nchan_publisher websocket; nchan_channel_id $1; {redis} }}
    }}
}}
"""


class Nchan(Peer):
    name, dialect = "Nchan", "nchan"

    def install(self, shelf):
        self.shelf = shelf
        root = debian_folder(shelf, PACKAGE)
        self.module = next(root.glob("usr/lib/nginx/modules/ngx_nchan_module.so"))
        unpacked = root / "usr/sbin/nginx"
        self.program = unpacked if unpacked.exists() else pathlib.Path(shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin"))

    def version(self):
        nginx = run([self.program, "-v"], "nginx -v", debian_env()).strip().rsplit("/", 1)[1]
        return f"{debian_version(self.shelf, PACKAGE)}, nginx {nginx}"

    def files(self):
        return [self.program, self.module]

    def server(self, bench, redis=None, number=0, ports=()):
        folder, port = bench.place("nchan"), ports[number]
        folder.chmod(0o755)
        (folder / "conf").write_text(CONFIG.format(
            module=self.module, folder=folder, port=port, user="user root;" if pathlib.Path(folder).owner() == "root" else "",
            upstream=f"upstream shared {{ nchan_redis_server redis://{redis.address}; }}" if redis else "",
            redis="nchan_redis_pass shared;" if redis else ""))
        return Server(f"nchan-{port}", folder, [self.program, "-c", folder / "conf", "-p", folder], port, debian_env())
