"""What runs inside the sandbox, where nothing of ours is installed.

`process.py` compiles these files and hands them to the sandboxed interpreter on its command line.
So they import each other alone and, to start in milliseconds, C modules.
"""
