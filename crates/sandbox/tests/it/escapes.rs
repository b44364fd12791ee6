//! Code that wants out. Each piece must end in an exception: nothing it names is there.

use super::run;
use tutti_sandbox::Stopped;

const CORPUS: &[&str] = &[
    // Files.
    "open('/etc/passwd').read()",
    "open('/tmp/tutti-sandbox-was-here', 'w').write('x')",
    "with open('/proc/self/environ') as f: f.read()",
    "from pathlib import Path\nPath('/etc/passwd').read_text()",
    "from pathlib import Path\nPath('/tmp/tutti-sandbox-was-here').write_text('x')",
    "from pathlib import Path\nPath('/').iterdir()",
    "from pathlib import Path\nPath('/etc').exists()",
    "import os\nos.listdir('/')",
    "import os\nos.remove('/tmp/x')",
    "import os\nos.open('/etc/passwd', 0)",
    "import shutil\nshutil.rmtree('/tmp/x')",
    "import tempfile\ntempfile.mkdtemp()",
    "import io\nio.open('/etc/passwd')",
    "import mmap",
    "import sqlite3",
    // Processes.
    "import os\nos.fork()",
    "import os\nos.system('id')",
    "import os\nos.execv('/bin/sh', ['sh'])",
    "import os\nos.popen('id')",
    "import os\nos.kill(1, 9)",
    "import os\nos._exit(0)",
    "import subprocess\nsubprocess.run(['id'])",
    "import multiprocessing",
    "import threading",
    "import signal",
    "import pty",
    // The network.
    "import socket\nsocket.socket()",
    "import urllib.request",
    "import http.client",
    "import ssl",
    "import asyncio\nasyncio.open_connection('127.0.0.1', 80)",
    "import asyncio\nasync def f(): await asyncio.sleep(100)\nasyncio.run(f())",
    // Time and the environment.
    "import time\ntime.sleep(1000)",
    "import os\nos.environ['PATH']",
    "import os\nos.getenv('HOME')",
    "import datetime\ndatetime.datetime.now()",
    "import platform",
    // The interpreter itself.
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "''.__class__.__mro__[1].__subclasses__()",
    "(lambda: 0).__globals__",
    "(lambda: 0).__code__",
    "def f(): pass\nf.__builtins__",
    "__builtins__.__dict__",
    "'{0.__class__.__mro__}'.format('')",
    "f'{(1).__class__.__base__.__subclasses__()}'",
    "try:\n    1 / 0\nexcept Exception as e:\n    e.__traceback__.tb_frame.f_globals",
    "def g(): yield\ng().gi_frame.f_back",
    "eval('1')",
    "exec('1')",
    "compile('1', 'x', 'eval')",
    "globals()['open']",
    "vars()['__builtins__']",
    "getattr((), '__class__').__bases__",
    "breakpoint()",
    "input()",
    "help()",
    "import ctypes\nctypes.string_at(0)",
    "import importlib\nimportlib.import_module('os')",
    "import sys\nsys.modules['os']",
    "import sys\nsys._getframe()",
    "import sys\nsys.setrecursionlimit(10 ** 9)",
    "import gc\ngc.get_objects()",
    "import inspect",
    "import pickle\npickle.loads(b\"cos\\nsystem\\n(S'id'\\ntR.\")",
    "import marshal",
    "import code",
    "import builtins\nbuiltins.open('/etc/passwd')",
    "from os import *\nsystem('id')",
    "import js",
    "import monty",
    "quit()",
    "exit(0)",
];

#[tokio::test]
async fn nothing_leads_out() {
    for code in CORPUS {
        let outcome = run(code).await;
        assert!(matches!(outcome, Err(Stopped::Exception { .. } | Stopped::Syntax { .. })), "{code}: {outcome:?}");
    }
    assert!(!std::path::Path::new("/tmp/tutti-sandbox-was-here").exists());
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let said = run("open('/etc/passwd')").await.unwrap_err().to_string();
    assert!(said.contains("'open'") && said.contains("no files"), "{said}");
}
