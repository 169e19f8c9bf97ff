"""Makes a container that anyone may list in an Azure storage, signed with its account's key.

usage: azure.py ENDPOINT ACCOUNT CONTAINER, with AZURE_STORAGE_ACCOUNT_KEY in the environment
"""

import base64
import email.utils
import hashlib
import hmac
import os
import sys
import urllib.parse
import urllib.request

VERSION = "2021-12-02"


def main():
    endpoint, account, container = sys.argv[1:]
    key = base64.b64decode(os.environ["AZURE_STORAGE_ACCOUNT_KEY"])
    url = f"{endpoint}/{container}"
    headers = {
        "x-ms-blob-public-access": "container",
        "x-ms-date": email.utils.formatdate(usegmt=True),
        "x-ms-version": VERSION,
    }
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    path = urllib.parse.urlsplit(url).path
    # The method, eleven standard headers that are empty, ours, and what is asked for.
    told = "PUT" + "\n" * 12 + named + f"/{account}{path}\nrestype:container"
    signature = base64.b64encode(hmac.digest(key, told.encode(), hashlib.sha256)).decode()
    headers |= {"Authorization": f"SharedKey {account}:{signature}", "Content-Length": "0"}
    request = urllib.request.Request(f"{url}?restype=container", b"", headers, method="PUT")
    request.add_header("Content-Type", "")
    urllib.request.urlopen(request).read()


if __name__ == "__main__":
    main()
