# SPDX-License-Identifier: Apache-2.0
"""A world to play with: `make world`. A prompt over World (world.py); everything ends with it."""
import cmd
import os
import sys

import world as w

INTRO = """
Ten cities, as far apart as they are, each with a Pointsman, two web servers and a resolver. Try:

  ask                      where does every city's resolver send its clients?   (ask london few.world.test AAAA)
  kill tokyo web           both web servers of Tokyo die;  revive tokyo web
  down london              London's cable is cut;          up london
  partition dallas,toronto,washington,sao-paulo|frankfurt,london,madrid,osaka,tokyo,sydney      heal
  link tokyo osaka loss=5% delay=40ms         change a cable while it is in use
  at london peers          any command of Pointsman at a city: peers, matrix www.world.test, handoff ..., vips, top ...
  at tokyo disable osaka   a word said in one city holds in all;   at dallas enable osaka
  map                      the round trips in ms
  quit
"""


class Play(cmd.Cmd):
    prompt = "world> "

    def __init__(self, world):
        super().__init__()
        self.world = world

    def emptyline(self):
        pass

    def default(self, line):
        if line.strip() in ("EOF", "quit", "exit", "q"):
            print()
            return True
        print("no such thing; `help` shows what there is")
        return False

    def onecmd(self, line):
        try:
            return super().onecmd(line)
        except (KeyError, ValueError, IndexError) as e:
            print("not understood: %s" % e)
        except w.WanError as e:
            print(e)
        return False

    def do_help(self, arg):
        print(INTRO)

    def do_map(self, arg):
        names = list(self.world.cities)
        print("%12s" % "" + "".join("%8s" % n[:7] for n in names))
        for a in names:
            print("%12s" % a + "".join("%8.0f" % self.world.latency(a, b) for b in names))

    def do_ask(self, arg):
        words = arg.split()
        cities = [self.world[words.pop(0)]] if words and words[0] in self.world.cities else list(self.world)
        name, kind = words[0] if words else "www.world.test", words[1] if len(words) > 1 else "A"
        for c in cities:
            got = c.dig(name, kind)
            print("  %-12s -> %s" % (c, ", ".join("%s (%s)" % (self.world.site_of(a), a) for a in got) or "no answer"))

    def do_kill(self, arg):
        self.world.kill(*arg.split())

    def do_revive(self, arg):
        self.world.revive(*arg.split())

    def do_down(self, arg):
        self.world.wan("down " + arg)

    def do_up(self, arg):
        self.world.wan("up " + arg)

    def do_link(self, arg):
        self.world.wan("link " + arg)

    def do_cut(self, arg):
        self.world.wan("cut " + arg)

    def do_partition(self, arg):
        self.world.wan("partition " + arg)

    def do_heal(self, arg):
        self.world.wan("heal " + arg)

    def do_at(self, arg):
        city, *words = arg.split()
        print(self.world.pointsman(self.world[city], *words), end="")


def main(argv):
    why = w.impossible()
    if why:
        print("there can be no world here: " + why)
        return 1
    root = os.path.dirname(w.TESTS)
    binary = argv[0] if argv else os.path.join(root, "build/src/main/pointsman")
    wan = argv[1] if len(argv) > 1 else os.path.join(root, "build/tests/tools/wan")
    w.own_processes()
    print("making the world ...", flush=True)
    world = w.World(os.path.abspath(binary), wan)
    world.start()
    late = world.ready(40)
    if late:
        print("these are not ready yet: " + ", ".join(late))
    print(INTRO)
    try:
        Play(world).cmdloop()
    except KeyboardInterrupt:
        print()
    finally:
        world.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
