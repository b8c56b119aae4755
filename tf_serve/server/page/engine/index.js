var __create = Object.create;
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __getProtoOf = Object.getPrototypeOf;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __require = /* @__PURE__ */ ((x2) => typeof require !== "undefined" ? require : typeof Proxy !== "undefined" ? new Proxy(x2, {
  get: (a, b) => (typeof require !== "undefined" ? require : a)[b]
}) : x2)(function(x2) {
  if (typeof require !== "undefined") return require.apply(this, arguments);
  throw Error('Dynamic require of "' + x2 + '" is not supported');
});
var __esm = (fn, res, err2) => function __init() {
  if (err2) throw err2[0];
  try {
    return fn && (res = (0, fn[__getOwnPropNames(fn)[0]])(fn = 0)), res;
  } catch (e) {
    throw err2 = [e], e;
  }
};
var __commonJS = (cb, mod) => function __require2() {
  try {
    return mod || (0, cb[__getOwnPropNames(cb)[0]])((mod = { exports: {} }).exports, mod), mod.exports;
  } catch (e) {
    throw mod = 0, e;
  }
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toESM = (mod, isNodeMode, target) => (target = mod != null ? __create(__getProtoOf(mod)) : {}, __copyProps(
  // If the importer is in node compatibility mode or this is not an ESM
  // file that has been converted to a CommonJS file using a Babel-
  // compatible transform (i.e. "__esModule" has not been set), then set
  // "default" to the CommonJS "module.exports" for node compatibility.
  isNodeMode || !mod || !mod.__esModule ? __defProp(target, "default", { value: mod, enumerable: true }) : target,
  mod
));

// <define:__WASM__>
var define_WASM_default;
var init_define_WASM = __esm({
  "<define:__WASM__>"() {
    define_WASM_default = { "litert.wasm": "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614", "jpeg.wasm": "a8d104602540b9e7aeefeaac23af7380f40c5a3460291d40246a26783929a696" };
  }
});

// (disabled):zlib
var require_zlib = __commonJS({
  "(disabled):zlib"() {
    init_define_WASM();
  }
});

// node_modules/dicom-parser/dist/dicomParser.min.js
var require_dicomParser_min = __commonJS({
  "node_modules/dicom-parser/dist/dicomParser.min.js"(exports2, module2) {
    init_define_WASM();
    /*! dicom-parser - 1.8.12 - 2023-02-20 | (c) 2017 Chris Hafey | https://github.com/cornerstonejs/dicomParser */
    !(function(e, t) {
      "object" == typeof exports2 && "object" == typeof module2 ? module2.exports = t(require_zlib()) : "function" == typeof define && define.amd ? define("dicom-parser", ["zlib"], t) : "object" == typeof exports2 ? exports2["dicom-parser"] = t(require_zlib()) : e.dicomParser = t(e.zlib);
    })(exports2, function(r) {
      return a = [function(e, t) {
        e.exports = r;
      }, function(e, t, s) {
        "use strict";
        s.r(t), s.d(t, "isStringVr", function() {
          return d;
        }), s.d(t, "isPrivateTag", function() {
          return f;
        }), s.d(t, "parsePN", function() {
          return a2;
        }), s.d(t, "parseTM", function() {
          return n2;
        }), s.d(t, "parseDA", function() {
          return o;
        }), s.d(t, "explicitElementToString", function() {
          return l;
        }), s.d(t, "explicitDataSetToJS", function() {
          return u;
        }), s.d(t, "createJPEGBasicOffsetTable", function() {
          return p;
        }), s.d(t, "parseDicomDataSetExplicit", function() {
          return q;
        }), s.d(t, "parseDicomDataSetImplicit", function() {
          return T;
        }), s.d(t, "readFixedString", function() {
          return b;
        }), s.d(t, "alloc", function() {
          return k;
        }), s.d(t, "version", function() {
          return L;
        }), s.d(t, "bigEndianByteArrayParser", function() {
          return N;
        }), s.d(t, "ByteStream", function() {
          return J;
        }), s.d(t, "sharedCopy", function() {
          return j;
        }), s.d(t, "DataSet", function() {
          return w;
        }), s.d(t, "findAndSetUNElementLength", function() {
          return y;
        }), s.d(t, "findEndOfEncapsulatedElement", function() {
          return g;
        }), s.d(t, "findItemDelimitationItemAndSetElementLength", function() {
          return x2;
        }), s.d(t, "littleEndianByteArrayParser", function() {
          return M;
        }), s.d(t, "parseDicom", function() {
          return V;
        }), s.d(t, "readDicomElementExplicit", function() {
          return B;
        }), s.d(t, "readDicomElementImplicit", function() {
          return A;
        }), s.d(t, "readEncapsulatedImageFrame", function() {
          return W;
        }), s.d(t, "readEncapsulatedPixelData", function() {
          return K;
        }), s.d(t, "readEncapsulatedPixelDataFromFragments", function() {
          return _;
        }), s.d(t, "readPart10Header", function() {
          return G;
        }), s.d(t, "readSequenceItemsExplicit", function() {
          return I;
        }), s.d(t, "readSequenceItemsImplicit", function() {
          return F;
        }), s.d(t, "readSequenceItem", function() {
          return S;
        }), s.d(t, "readTag", function() {
          return h;
        });
        var r2 = { AE: true, AS: true, AT: false, CS: true, DA: true, DS: true, DT: true, FL: false, FD: false, IS: true, LO: true, LT: true, OB: false, OD: false, OF: false, OW: false, PN: true, SH: true, SL: false, SQ: false, SS: false, ST: true, TM: true, UI: true, UL: false, UN: void 0, UR: true, US: false, UT: true }, d = function(e2) {
          return r2[e2];
        }, f = function(e2) {
          e2 = parseInt(e2[4], 16);
          if (isNaN(e2)) throw "dicomParser.isPrivateTag: cannot parse last character of group";
          return e2 % 2 == 1;
        }, a2 = function(e2) {
          if (void 0 !== e2) {
            e2 = e2.split("^");
            return { familyName: e2[0], givenName: e2[1], middleName: e2[2], prefix: e2[3], suffix: e2[4] };
          }
        };
        function n2(e2, t2) {
          if (2 <= e2.length) {
            var r3 = parseInt(e2.substring(0, 2), 10), a3 = 4 <= e2.length ? parseInt(e2.substring(2, 4), 10) : void 0, n3 = 6 <= e2.length ? parseInt(e2.substring(4, 6), 10) : void 0, i4 = 8 <= e2.length ? e2.substring(7, 13) : void 0, i4 = i4 ? parseInt(i4, 10) * Math.pow(10, 6 - i4.length) : void 0;
            if (t2 && (isNaN(r3) || void 0 !== a3 && isNaN(a3) || void 0 !== n3 && isNaN(n3) || void 0 !== i4 && isNaN(i4) || r3 < 0 || 23 < r3 || a3 && (a3 < 0 || 59 < a3) || n3 && (n3 < 0 || 59 < n3) || i4 && (i4 < 0 || 999999 < i4))) throw "invalid TM '".concat(e2, "'");
            return { hours: r3, minutes: a3, seconds: n3, fractionalSeconds: i4 };
          }
          if (t2) throw "invalid TM '".concat(e2, "'");
        }
        function i3(e2, t2, r3) {
          return !isNaN(r3) && (0 < t2 && t2 <= 12 && 0 < e2 && e2 <= (function(e3, t3) {
            switch (e3) {
              case 2:
                return t3 % 4 == 0 && t3 % 100 || t3 % 400 == 0 ? 29 : 28;
              case 9:
              case 4:
              case 6:
              case 11:
                return 30;
              default:
                return 31;
            }
          })(t2, r3));
        }
        function o(e2, t2) {
          if (e2 && 8 === e2.length) {
            var r3 = parseInt(e2.substring(0, 4), 10), a3 = parseInt(e2.substring(4, 6), 10), n3 = parseInt(e2.substring(6, 8), 10);
            if (t2 && true !== i3(n3, a3, r3)) throw "invalid DA '".concat(e2, "'");
            return { year: r3, month: a3, day: n3 };
          }
          if (t2) throw "invalid DA '".concat(e2, "'");
        }
        function l(n3, e2) {
          if (void 0 === n3 || void 0 === e2) throw "dicomParser.explicitElementToString: missing required parameters";
          if (void 0 === e2.vr) throw "dicomParser.explicitElementToString: cannot convert implicit element to string";
          var t2, r3 = e2.vr, i4 = e2.tag;
          function a3(e3, t3) {
            for (var r4 = "", a4 = 0; a4 < e3; a4++) 0 !== a4 && (r4 += "/"), r4 += t3.call(n3, i4, a4).toString();
            return r4;
          }
          if (true === d(r3)) t2 = n3.string(i4);
          else {
            if ("AT" === r3) {
              var o2 = n3.uint32(i4);
              return void 0 === o2 ? void 0 : "x".concat((o2 = o2 < 0 ? 4294967295 + o2 + 1 : o2).toString(16).toUpperCase());
            }
            "US" === r3 ? t2 = a3(e2.length / 2, n3.uint16) : "SS" === r3 ? t2 = a3(e2.length / 2, n3.int16) : "UL" === r3 ? t2 = a3(e2.length / 4, n3.uint32) : "SL" === r3 ? t2 = a3(e2.length / 4, n3.int32) : "FD" === r3 ? t2 = a3(e2.length / 8, n3.double) : "FL" === r3 && (t2 = a3(e2.length / 4, n3.float));
          }
          return t2;
        }
        function u(e2, t2) {
          if (void 0 === e2) throw "dicomParser.explicitDataSetToJS: missing required parameter dataSet";
          t2 = t2 || { omitPrivateAttibutes: true, maxElementLength: 128 };
          var r3, a3 = {};
          for (r3 in e2.elements) {
            var n3 = e2.elements[r3];
            if (true !== t2.omitPrivateAttibutes || !f(r3)) if (n3.items) {
              for (var i4 = [], o2 = 0; o2 < n3.items.length; o2++) i4.push(u(n3.items[o2].dataSet, t2));
              a3[r3] = i4;
            } else {
              var s2 = void 0;
              n3.length < t2.maxElementLength && (s2 = l(e2, n3)), a3[r3] = void 0 !== s2 ? s2 : { dataOffset: n3.dataOffset, length: n3.length };
            }
          }
          return a3;
        }
        function c(e2, t2) {
          return 255 === e2.byteArray[t2] && 217 === e2.byteArray[t2 + 1];
        }
        function m(e2, t2, r3) {
          for (var a3, n3, i4 = r3; i4 < t2.fragments.length; i4++) if (a3 = e2, n3 = i4, n3 = t2.fragments[n3], !(!c(a3, n3.position + n3.length - 2) && !c(a3, n3.position + n3.length - 3))) return i4;
        }
        function p(e2, t2, r3) {
          if (void 0 === e2) throw "dicomParser.createJPEGBasicOffsetTable: missing required parameter dataSet";
          if (void 0 === t2) throw "dicomParser.createJPEGBasicOffsetTable: missing required parameter pixelDataElement";
          if ("x7fe00010" !== t2.tag) throw "dicomParser.createJPEGBasicOffsetTable: parameter 'pixelDataElement' refers to non pixel data tag (expected tag = x7fe00010'";
          if (true !== t2.encapsulatedPixelData) throw "dicomParser.createJPEGBasicOffsetTable: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (true !== t2.hadUndefinedLength) throw "dicomParser.createJPEGBasicOffsetTable: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (void 0 === t2.basicOffsetTable) throw "dicomParser.createJPEGBasicOffsetTable: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (void 0 === t2.fragments) throw "dicomParser.createJPEGBasicOffsetTable: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (t2.fragments.length <= 0) throw "dicomParser.createJPEGBasicOffsetTable: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (r3 && r3.length <= 0) throw "dicomParser.createJPEGBasicOffsetTable: parameter 'fragments' must not be zero length";
          r3 = r3 || t2.fragments;
          for (var a3 = [], n3 = 0; ; ) {
            a3.push(t2.fragments[n3].offset);
            var i4 = m(e2, t2, n3);
            if (void 0 === i4 || i4 === t2.fragments.length - 1) return a3;
            n3 = i4 + 1;
          }
        }
        function h(e2) {
          if (void 0 === e2) throw "dicomParser.readTag: missing required parameter 'byteStream'";
          var t2 = 256 * e2.readUint16() * 256, e2 = e2.readUint16();
          return "x".concat("00000000".concat((t2 + e2).toString(16)).substr(-8));
        }
        function g(e2, t2, r3) {
          if (void 0 === e2) throw "dicomParser.findEndOfEncapsulatedElement: missing required parameter 'byteStream'";
          if (void 0 === t2) throw "dicomParser.findEndOfEncapsulatedElement: missing required parameter 'element'";
          if (t2.encapsulatedPixelData = true, t2.basicOffsetTable = [], t2.fragments = [], "xfffee000" !== h(e2)) throw "dicomParser.findEndOfEncapsulatedElement: basic offset table not found";
          for (var a3 = e2.readUint32() / 4, n3 = 0; n3 < a3; n3++) {
            var i4 = e2.readUint32();
            t2.basicOffsetTable.push(i4);
          }
          for (var o2 = e2.position; e2.position < e2.byteArray.length; ) {
            var s2 = h(e2), d2 = e2.readUint32();
            if ("xfffee0dd" === s2) return e2.seek(d2), void (t2.length = e2.position - t2.dataOffset);
            if ("xfffee000" !== s2) return r3 && r3.push("unexpected tag ".concat(s2, " while searching for end of pixel data element with undefined length")), d2 > e2.byteArray.length - e2.position && (d2 = e2.byteArray.length - e2.position), t2.fragments.push({ offset: e2.position - o2 - 8, position: e2.position, length: d2 }), e2.seek(d2), void (t2.length = e2.position - t2.dataOffset);
            t2.fragments.push({ offset: e2.position - o2 - 8, position: e2.position, length: d2 }), e2.seek(d2);
          }
          r3 && r3.push("pixel data element ".concat(t2.tag, " missing sequence delimiter tag xfffee0dd"));
        }
        function y(e2, t2) {
          if (void 0 === e2) throw "dicomParser.findAndSetUNElementLength: missing required parameter 'byteStream'";
          for (var r3 = e2.byteArray.length - 8; e2.position <= r3; ) if (65534 === e2.readUint16()) {
            var a3 = e2.readUint16();
            if (57565 === a3) return 0 !== e2.readUint32() && e2.warnings("encountered non zero length following item delimiter at position ".concat(e2.position - 4, " while reading element of undefined length with tag ").concat(t2.tag)), void (t2.length = e2.position - t2.dataOffset);
          }
          t2.length = e2.byteArray.length - t2.dataOffset, e2.seek(e2.byteArray.length - e2.position);
        }
        function b(e2, t2, r3) {
          if (r3 < 0) throw "dicomParser.readFixedString - length cannot be less than 0";
          if (t2 + r3 > e2.length) throw "dicomParser.readFixedString: attempt to read past end of buffer";
          for (var a3, n3 = "", i4 = 0; i4 < r3; i4++) {
            if (0 === (a3 = e2[t2 + i4])) return t2 += r3, n3;
            n3 += String.fromCharCode(a3);
          }
          return n3;
        }
        function v(e2, t2) {
          for (var r3 = 0; r3 < t2.length; r3++) {
            var a3 = t2[r3];
            a3.enumerable = a3.enumerable || false, a3.configurable = true, "value" in a3 && (a3.writable = true), Object.defineProperty(e2, a3.key, a3);
          }
        }
        function P(e2, t2) {
          return void 0 !== e2.parser ? e2.parser : t2;
        }
        var w = (function() {
          function a3(e3, t3, r4) {
            !(function(e4, t4) {
              if (!(e4 instanceof t4)) throw new TypeError("Cannot call a class as a function");
            })(this, a3), this.byteArrayParser = e3, this.byteArray = t3, this.elements = r4;
          }
          var e2, t2, r3;
          return e2 = a3, (t2 = [{ key: "uint16", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (t3 = void 0 !== t3 ? t3 : 0, e3 && 0 !== e3.length) return P(e3, this.byteArrayParser).readUint16(this.byteArray, e3.dataOffset + 2 * t3);
          } }, { key: "int16", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (t3 = void 0 !== t3 ? t3 : 0, e3 && 0 !== e3.length) return P(e3, this.byteArrayParser).readInt16(this.byteArray, e3.dataOffset + 2 * t3);
          } }, { key: "uint32", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (t3 = void 0 !== t3 ? t3 : 0, e3 && 0 !== e3.length) return P(e3, this.byteArrayParser).readUint32(this.byteArray, e3.dataOffset + 4 * t3);
          } }, { key: "int32", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (t3 = void 0 !== t3 ? t3 : 0, e3 && 0 !== e3.length) return P(e3, this.byteArrayParser).readInt32(this.byteArray, e3.dataOffset + 4 * t3);
          } }, { key: "float", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (t3 = void 0 !== t3 ? t3 : 0, e3 && 0 !== e3.length) return P(e3, this.byteArrayParser).readFloat(this.byteArray, e3.dataOffset + 4 * t3);
          } }, { key: "double", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (t3 = void 0 !== t3 ? t3 : 0, e3 && 0 !== e3.length) return P(e3, this.byteArrayParser).readDouble(this.byteArray, e3.dataOffset + 8 * t3);
          } }, { key: "numStringValues", value: function(e3) {
            e3 = this.elements[e3];
            if (e3 && 0 < e3.length) {
              e3 = b(this.byteArray, e3.dataOffset, e3.length).match(/\\/g);
              return null === e3 ? 1 : e3.length + 1;
            }
          } }, { key: "string", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (e3 && e3.Value) return e3.Value;
            if (e3 && 0 < e3.length) {
              e3 = b(this.byteArray, e3.dataOffset, e3.length);
              return 0 <= t3 ? e3.split("\\")[t3].trim() : e3.trim();
            }
          } }, { key: "text", value: function(e3, t3) {
            e3 = this.elements[e3];
            if (e3 && 0 < e3.length) {
              e3 = b(this.byteArray, e3.dataOffset, e3.length);
              return 0 <= t3 ? e3.split("\\")[t3].replace(/ +$/, "") : e3.replace(/ +$/, "");
            }
          } }, { key: "floatString", value: function(e3, t3) {
            var r4 = this.elements[e3];
            if (r4 && 0 < r4.length) {
              t3 = this.string(e3, t3 = void 0 !== t3 ? t3 : 0);
              if (void 0 !== t3) return parseFloat(t3);
            }
          } }, { key: "intString", value: function(e3, t3) {
            var r4 = this.elements[e3];
            if (r4 && 0 < r4.length) {
              t3 = this.string(e3, t3 = void 0 !== t3 ? t3 : 0);
              if (void 0 !== t3) return parseInt(t3);
            }
          } }, { key: "attributeTag", value: function(e3) {
            var t3 = this.elements[e3];
            if (t3 && 4 === t3.length) {
              var r4 = P(t3, this.byteArrayParser).readUint16, e3 = this.byteArray, t3 = t3.dataOffset;
              return "x".concat("00000000".concat((256 * r4(e3, t3) * 256 + r4(e3, t3 + 2)).toString(16)).substr(-8));
            }
          } }]) && v(e2.prototype, t2), r3 && v(e2, r3), Object.defineProperty(e2, "prototype", { writable: false }), a3;
        })();
        function x2(e2, t2) {
          if (void 0 === e2) throw "dicomParser.readDicomElementImplicit: missing required parameter 'byteStream'";
          for (var r3 = e2.byteArray.length - 8; e2.position <= r3; ) if (65534 === e2.readUint16()) {
            var a3 = e2.readUint16();
            if (57357 === a3) return 0 !== e2.readUint32() && e2.warnings("encountered non zero length following item delimiter at position ".concat(e2.position - 4, " while reading element of undefined length with tag ").concat(t2.tag)), void (t2.length = e2.position - t2.dataOffset);
          }
          t2.length = e2.byteArray.length - t2.dataOffset, e2.seek(e2.byteArray.length - e2.position);
        }
        var E = function(e2, t2) {
          if (void 0 !== e2.vr) return "SQ" === e2.vr;
          if (t2.position + 4 <= t2.byteArray.length) {
            e2 = h(t2);
            return t2.seek(-4), "xfffee000" === e2 || "xfffee0dd" === e2;
          }
          return t2.warnings.push("eof encountered before finding sequence item tag or sequence delimiter tag in peeking to determine VR"), false;
        };
        function A(e2, t2, r3) {
          if (void 0 === e2) throw "dicomParser.readDicomElementImplicit: missing required parameter 'byteStream'";
          var a3 = h(e2), a3 = { tag: a3, vr: void 0 !== r3 ? r3(a3) : void 0, length: e2.readUint32(), dataOffset: e2.position };
          return 4294967295 === a3.length && (a3.hadUndefinedLength = true), a3.tag === t2 || (!E(a3, e2) || f(a3.tag) && !a3.hadUndefinedLength ? a3.hadUndefinedLength ? x2(e2, a3) : e2.seek(a3.length) : (F(e2, a3, r3), f(a3.tag) && (a3.items = void 0))), a3;
        }
        function S(e2) {
          if (void 0 === e2) throw "dicomParser.readSequenceItem: missing required parameter 'byteStream'";
          var t2 = { tag: h(e2), length: e2.readUint32(), dataOffset: e2.position };
          if ("xfffee000" !== t2.tag) throw "dicomParser.readSequenceItem: item tag (FFFE,E000) not found at offset ".concat(e2.position);
          return t2;
        }
        function D(e2, t2) {
          var r3 = S(e2);
          return 4294967295 === r3.length ? (r3.hadUndefinedLength = true, r3.dataSet = (function(e3, t3) {
            for (var r4 = {}; e3.position < e3.byteArray.length; ) {
              var a3 = A(e3, void 0, t3);
              if ("xfffee00d" === (r4[a3.tag] = a3).tag) return new w(e3.byteArrayParser, e3.byteArray, r4);
            }
            return e3.warnings.push("eof encountered before finding sequence item delimiter in sequence item of undefined length"), new w(e3.byteArrayParser, e3.byteArray, r4);
          })(e2, t2), r3.length = e2.position - r3.dataOffset) : (r3.dataSet = new w(e2.byteArrayParser, e2.byteArray, {}), T(r3.dataSet, e2, e2.position + r3.length, { vrCallback: t2 })), r3;
        }
        function F(e2, t2, r3) {
          if (void 0 === e2) throw "dicomParser.readSequenceItemsImplicit: missing required parameter 'byteStream'";
          if (void 0 === t2) throw "dicomParser.readSequenceItemsImplicit: missing required parameter 'element'";
          t2.items = [], (4294967295 === t2.length ? function(e3, t3, r4) {
            for (; e3.position + 4 <= e3.byteArray.length; ) {
              var a3 = h(e3);
              if (e3.seek(-4), "xfffee0dd" === a3) return t3.length = e3.position - t3.dataOffset, e3.seek(8);
              a3 = D(e3, r4);
              t3.items.push(a3);
            }
            e3.warnings.push("eof encountered before finding sequence delimiter in sequence of undefined length"), t3.length = e3.byteArray.length - t3.dataOffset;
          } : function(e3, t3, r4) {
            for (var a3 = t3.dataOffset + t3.length; e3.position < a3; ) {
              var n3 = D(e3, r4);
              t3.items.push(n3);
            }
          })(e2, t2, r3);
        }
        function O(e2, t2) {
          var r3 = S(e2);
          return 4294967295 === r3.length ? (r3.hadUndefinedLength = true, r3.dataSet = (function(e3, t3) {
            for (var r4 = {}; e3.position < e3.byteArray.length; ) {
              var a3 = B(e3, t3);
              if ("xfffee00d" === (r4[a3.tag] = a3).tag) return new w(e3.byteArrayParser, e3.byteArray, r4);
            }
            return t3.push("eof encountered before finding item delimiter tag while reading sequence item of undefined length"), new w(e3.byteArrayParser, e3.byteArray, r4);
          })(e2, t2), r3.length = e2.position - r3.dataOffset) : (r3.dataSet = new w(e2.byteArrayParser, e2.byteArray, {}), q(r3.dataSet, e2, e2.position + r3.length)), r3;
        }
        function I(e2, t2, r3) {
          if (void 0 === e2) throw "dicomParser.readSequenceItemsExplicit: missing required parameter 'byteStream'";
          if (void 0 === t2) throw "dicomParser.readSequenceItemsExplicit: missing required parameter 'element'";
          t2.items = [], (4294967295 === t2.length ? function(e3, t3, r4) {
            for (; e3.position + 4 <= e3.byteArray.length; ) {
              var a3 = h(e3);
              if (e3.seek(-4), "xfffee0dd" === a3) return t3.length = e3.position - t3.dataOffset, e3.seek(8);
              a3 = O(e3, r4);
              t3.items.push(a3);
            }
            r4.push("eof encountered before finding sequence delimitation tag while reading sequence of undefined length"), t3.length = e3.position - t3.dataOffset;
          } : function(e3, t3, r4) {
            for (var a3 = t3.dataOffset + t3.length; e3.position < a3; ) {
              var n3 = O(e3, r4);
              t3.items.push(n3);
            }
          })(e2, t2, r3);
        }
        var U = function(e2) {
          return "OB" === e2 || "OD" === e2 || "OL" === e2 || "OW" === e2 || "SQ" === e2 || "OF" === e2 || "UC" === e2 || "UR" === e2 || "UT" === e2 || "UN" === e2 ? 4 : 2;
        };
        function B(e2, t2, r3) {
          if (void 0 === e2) throw "dicomParser.readDicomElementExplicit: missing required parameter 'byteStream'";
          var a3 = { tag: h(e2), vr: e2.readFixedString(2) };
          return 2 === U(a3.vr) ? a3.length = e2.readUint16() : (e2.seek(2), a3.length = e2.readUint32()), a3.dataOffset = e2.position, 4294967295 === a3.length && (a3.hadUndefinedLength = true), a3.tag === r3 || ("SQ" === a3.vr ? I(e2, a3, t2) : 4294967295 === a3.length ? "x7fe00010" === a3.tag ? g(e2, a3, t2) : ("UN" === a3.vr ? F : x2)(e2, a3) : e2.seek(a3.length)), a3;
        }
        function q(e2, t2, r3) {
          var a3 = 3 < arguments.length && void 0 !== arguments[3] ? arguments[3] : {};
          if (r3 = void 0 === r3 ? t2.byteArray.length : r3, void 0 === t2) throw "dicomParser.parseDicomDataSetExplicit: missing required parameter 'byteStream'";
          if (r3 < t2.position || r3 > t2.byteArray.length) throw "dicomParser.parseDicomDataSetExplicit: invalid value for parameter 'maxP osition'";
          for (var n3 = e2.elements; t2.position < r3; ) {
            var i4 = B(t2, e2.warnings, a3.untilTag);
            if ((n3[i4.tag] = i4).tag === a3.untilTag) return;
          }
          if (t2.position > r3) throw "dicomParser:parseDicomDataSetExplicit: buffer overrun";
        }
        function T(e2, t2, r3) {
          var a3 = 3 < arguments.length && void 0 !== arguments[3] ? arguments[3] : {};
          if (r3 = void 0 === r3 ? e2.byteArray.length : r3, void 0 === t2) throw "dicomParser.parseDicomDataSetImplicit: missing required parameter 'byteStream'";
          if (r3 < t2.position || r3 > t2.byteArray.length) throw "dicomParser.parseDicomDataSetImplicit: invalid value for parameter 'maxPosition'";
          for (var n3 = e2.elements; t2.position < r3; ) {
            var i4 = A(t2, a3.untilTag, a3.vrCallback);
            if ((n3[i4.tag] = i4).tag === a3.untilTag) return;
          }
        }
        function k(e2, t2) {
          if ("undefined" != typeof Buffer && e2 instanceof Buffer) return Buffer.alloc(t2);
          if (e2 instanceof Uint8Array) return new Uint8Array(t2);
          throw "dicomParser.alloc: unknown type for byteArray";
        }
        var L = "1.8.12", N = { readUint16: function(e2, t2) {
          if (t2 < 0) throw "bigEndianByteArrayParser.readUint16: position cannot be less than 0";
          if (t2 + 2 > e2.length) throw "bigEndianByteArrayParser.readUint16: attempt to read past end of buffer";
          return (e2[t2] << 8) + e2[t2 + 1];
        }, readInt16: function(e2, t2) {
          if (t2 < 0) throw "bigEndianByteArrayParser.readInt16: position cannot be less than 0";
          if (t2 + 2 > e2.length) throw "bigEndianByteArrayParser.readInt16: attempt to read past end of buffer";
          t2 = (e2[t2] << 8) + e2[t2 + 1];
          return t2 = 32768 & t2 ? t2 - 65535 - 1 : t2;
        }, readUint32: function(e2, t2) {
          if (t2 < 0) throw "bigEndianByteArrayParser.readUint32: position cannot be less than 0";
          if (t2 + 4 > e2.length) throw "bigEndianByteArrayParser.readUint32: attempt to read past end of buffer";
          return 256 * (256 * (256 * e2[t2] + e2[t2 + 1]) + e2[t2 + 2]) + e2[t2 + 3];
        }, readInt32: function(e2, t2) {
          if (t2 < 0) throw "bigEndianByteArrayParser.readInt32: position cannot be less than 0";
          if (t2 + 4 > e2.length) throw "bigEndianByteArrayParser.readInt32: attempt to read past end of buffer";
          return (e2[t2] << 24) + (e2[t2 + 1] << 16) + (e2[t2 + 2] << 8) + e2[t2 + 3];
        }, readFloat: function(e2, t2) {
          if (t2 < 0) throw "bigEndianByteArrayParser.readFloat: position cannot be less than 0";
          if (t2 + 4 > e2.length) throw "bigEndianByteArrayParser.readFloat: attempt to read past end of buffer";
          var r3 = new Uint8Array(4);
          return r3[3] = e2[t2], r3[2] = e2[t2 + 1], r3[1] = e2[t2 + 2], r3[0] = e2[t2 + 3], new Float32Array(r3.buffer)[0];
        }, readDouble: function(e2, t2) {
          if (t2 < 0) throw "bigEndianByteArrayParser.readDouble: position cannot be less than 0";
          if (t2 + 8 > e2.length) throw "bigEndianByteArrayParser.readDouble: attempt to read past end of buffer";
          var r3 = new Uint8Array(8);
          return r3[7] = e2[t2], r3[6] = e2[t2 + 1], r3[5] = e2[t2 + 2], r3[4] = e2[t2 + 3], r3[3] = e2[t2 + 4], r3[2] = e2[t2 + 5], r3[1] = e2[t2 + 6], r3[0] = e2[t2 + 7], new Float64Array(r3.buffer)[0];
        } };
        function j(e2, t2, r3) {
          if ("undefined" != typeof Buffer && e2 instanceof Buffer) return e2.slice(t2, t2 + r3);
          if (e2 instanceof Uint8Array) return new Uint8Array(e2.buffer, e2.byteOffset + t2, r3);
          throw "dicomParser.from: unknown type for byteArray";
        }
        function C(e2, t2) {
          for (var r3 = 0; r3 < t2.length; r3++) {
            var a3 = t2[r3];
            a3.enumerable = a3.enumerable || false, a3.configurable = true, "value" in a3 && (a3.writable = true), Object.defineProperty(e2, a3.key, a3);
          }
        }
        var J = (function() {
          function a3(e3, t3, r4) {
            if (!(function(e4, t4) {
              if (!(e4 instanceof t4)) throw new TypeError("Cannot call a class as a function");
            })(this, a3), void 0 === e3) throw "dicomParser.ByteStream: missing required parameter 'byteArrayParser'";
            if (void 0 === t3) throw "dicomParser.ByteStream: missing required parameter 'byteArray'";
            if (t3 instanceof Uint8Array == false && ("undefined" == typeof Buffer || t3 instanceof Buffer == false)) throw "dicomParser.ByteStream: parameter byteArray is not of type Uint8Array or Buffer";
            if (r4 < 0) throw "dicomParser.ByteStream: parameter 'position' cannot be less than 0";
            if (r4 >= t3.length) throw "dicomParser.ByteStream: parameter 'position' cannot be greater than or equal to 'byteArray' length";
            this.byteArrayParser = e3, this.byteArray = t3, this.position = r4 || 0, this.warnings = [];
          }
          var e2, t2, r3;
          return e2 = a3, (t2 = [{ key: "seek", value: function(e3) {
            if (this.position + e3 < 0) throw "dicomParser.ByteStream.prototype.seek: cannot seek to position < 0";
            this.position += e3;
          } }, { key: "readByteStream", value: function(e3) {
            if (this.position + e3 > this.byteArray.length) throw "dicomParser.ByteStream.prototype.readByteStream: readByteStream - buffer overread";
            var t3 = j(this.byteArray, this.position, e3);
            return this.position += e3, new a3(this.byteArrayParser, t3);
          } }, { key: "getSize", value: function() {
            return this.byteArray.length;
          } }, { key: "readUint16", value: function() {
            var e3 = this.byteArrayParser.readUint16(this.byteArray, this.position);
            return this.position += 2, e3;
          } }, { key: "readUint32", value: function() {
            var e3 = this.byteArrayParser.readUint32(this.byteArray, this.position);
            return this.position += 4, e3;
          } }, { key: "readFixedString", value: function(e3) {
            var t3 = b(this.byteArray, this.position, e3);
            return this.position += e3, t3;
          } }]) && C(e2.prototype, t2), r3 && C(e2, r3), Object.defineProperty(e2, "prototype", { writable: false }), a3;
        })(), M = { readUint16: function(e2, t2) {
          if (t2 < 0) throw "littleEndianByteArrayParser.readUint16: position cannot be less than 0";
          if (t2 + 2 > e2.length) throw "littleEndianByteArrayParser.readUint16: attempt to read past end of buffer";
          return e2[t2] + 256 * e2[t2 + 1];
        }, readInt16: function(e2, t2) {
          if (t2 < 0) throw "littleEndianByteArrayParser.readInt16: position cannot be less than 0";
          if (t2 + 2 > e2.length) throw "littleEndianByteArrayParser.readInt16: attempt to read past end of buffer";
          t2 = e2[t2] + (e2[t2 + 1] << 8);
          return t2 = 32768 & t2 ? t2 - 65535 - 1 : t2;
        }, readUint32: function(e2, t2) {
          if (t2 < 0) throw "littleEndianByteArrayParser.readUint32: position cannot be less than 0";
          if (t2 + 4 > e2.length) throw "littleEndianByteArrayParser.readUint32: attempt to read past end of buffer";
          return e2[t2] + 256 * e2[t2 + 1] + 256 * e2[t2 + 2] * 256 + 256 * e2[t2 + 3] * 256 * 256;
        }, readInt32: function(e2, t2) {
          if (t2 < 0) throw "littleEndianByteArrayParser.readInt32: position cannot be less than 0";
          if (t2 + 4 > e2.length) throw "littleEndianByteArrayParser.readInt32: attempt to read past end of buffer";
          return e2[t2] + (e2[t2 + 1] << 8) + (e2[t2 + 2] << 16) + (e2[t2 + 3] << 24);
        }, readFloat: function(e2, t2) {
          if (t2 < 0) throw "littleEndianByteArrayParser.readFloat: position cannot be less than 0";
          if (t2 + 4 > e2.length) throw "littleEndianByteArrayParser.readFloat: attempt to read past end of buffer";
          var r3 = new Uint8Array(4);
          return r3[0] = e2[t2], r3[1] = e2[t2 + 1], r3[2] = e2[t2 + 2], r3[3] = e2[t2 + 3], new Float32Array(r3.buffer)[0];
        }, readDouble: function(e2, t2) {
          if (t2 < 0) throw "littleEndianByteArrayParser.readDouble: position cannot be less than 0";
          if (t2 + 8 > e2.length) throw "littleEndianByteArrayParser.readDouble: attempt to read past end of buffer";
          var r3 = new Uint8Array(8);
          return r3[0] = e2[t2], r3[1] = e2[t2 + 1], r3[2] = e2[t2 + 2], r3[3] = e2[t2 + 3], r3[4] = e2[t2 + 4], r3[5] = e2[t2 + 5], r3[6] = e2[t2 + 6], r3[7] = e2[t2 + 7], new Float64Array(r3.buffer)[0];
        } };
        function G(e2) {
          var i4 = 1 < arguments.length && void 0 !== arguments[1] ? arguments[1] : {};
          if (void 0 === e2) throw "dicomParser.readPart10Header: missing required parameter 'byteArray'";
          var o2 = i4.TransferSyntaxUID, s2 = new J(M, e2);
          return (function() {
            var e3 = (function() {
              if (s2.getSize() <= 132 && o2) return false;
              if (s2.seek(128), "DICM" === s2.readFixedString(4)) return true;
              if (!(i4 || {}).TransferSyntaxUID) throw "dicomParser.readPart10Header: DICM prefix not found at location 132 - this is not a valid DICOM P10 file.";
              return s2.seek(0), false;
            })(), t2 = [], r3 = {};
            if (!e3) return s2.position = 0, { elements: { x00020010: { tag: "x00020010", vr: "UI", Value: o2 } }, warnings: t2 };
            for (; s2.position < s2.byteArray.length; ) {
              var a3 = s2.position, n3 = B(s2, t2);
              if ("x0002ffff" < n3.tag) {
                s2.position = a3;
                break;
              }
              n3.parser = M, r3[n3.tag] = n3;
            }
            return (e3 = new w(s2.byteArrayParser, s2.byteArray, r3)).warnings = s2.warnings, e3.position = s2.position, e3;
          })();
        }
        var z = "1.2.840.10008.1.2.2";
        function V(i4) {
          var o2 = 1 < arguments.length && void 0 !== arguments[1] ? arguments[1] : {};
          if (void 0 === i4) throw new Error("dicomParser.parseDicom: missing required parameter 'byteArray'");
          var e2, a3 = function(e3) {
            if (void 0 === e3.elements.x00020010) throw new Error("dicomParser.parseDicom: missing required meta header attribute 0002,0010");
            e3 = e3.elements.x00020010;
            return e3 && e3.Value || b(i4, e3.dataOffset, e3.length);
          };
          function t2(t3) {
            var e3 = a3(t3), r3 = "1.2.840.10008.1.2" !== e3, e3 = (function(e4, t4) {
              var r4 = "[object process]" === Object.prototype.toString.call("undefined" != typeof process ? process : 0);
              if ("1.2.840.10008.1.2.1.99" !== e4) return new J(e4 === z ? N : M, i4, t4);
              if (o2 && o2.inflater) {
                e4 = o2.inflater(i4, t4);
                return new J(M, e4, 0);
              }
              if (true == r4) {
                var a4 = s(0), n3 = j(i4, t4, i4.length - t4), a4 = a4.inflateRawSync(n3), n3 = k(i4, a4.length + t4);
                return i4.copy(n3, 0, 0, t4), a4.copy(n3, t4), new J(M, n3, 0);
              }
              if ("undefined" == typeof pako) throw "dicomParser.parseDicom: no inflater available to handle deflate transfer syntax";
              return a4 = i4.slice(t4), n3 = pako.inflateRaw(a4), (a4 = k(i4, n3.length + t4)).set(i4.slice(0, t4), 0), a4.set(n3, t4), new J(M, a4, 0);
            })(e3, t3.position), t3 = new w(e3.byteArrayParser, e3.byteArray, {});
            t3.warnings = e3.warnings;
            try {
              (r3 ? q : T)(t3, e3, e3.byteArray.length, o2);
            } catch (e4) {
              throw { exception: e4, dataSet: t3 };
            }
            return t3;
          }
          return (function(e3, t3) {
            for (var r3 in e3.elements) e3.elements.hasOwnProperty(r3) && (t3.elements[r3] = e3.elements[r3]);
            return void 0 !== e3.warnings && (t3.warnings = e3.warnings.concat(t3.warnings)), t3;
          })(e2 = G(i4, o2), t2(e2));
        }
        var R = function(e2, t2, r3) {
          for (var a3 = 0, n3 = t2; n3 < t2 + r3; n3++) a3 += e2[n3].length;
          return a3;
        };
        function _(e2, t2, r3, a3, n3) {
          if (n3 = n3 || t2.fragments, void 0 === e2) throw "dicomParser.readEncapsulatedPixelDataFromFragments: missing required parameter 'dataSet'";
          if (void 0 === t2) throw "dicomParser.readEncapsulatedPixelDataFromFragments: missing required parameter 'pixelDataElement'";
          if (void 0 === r3) throw "dicomParser.readEncapsulatedPixelDataFromFragments: missing required parameter 'startFragmentIndex'";
          if (void 0 === (a3 = a3 || 1)) throw "dicomParser.readEncapsulatedPixelDataFromFragments: missing required parameter 'numFragments'";
          if ("x7fe00010" !== t2.tag) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'pixelDataElement' refers to non pixel data tag (expected tag = x7fe00010";
          if (true !== t2.encapsulatedPixelData) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (true !== t2.hadUndefinedLength) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (void 0 === t2.basicOffsetTable) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (void 0 === t2.fragments) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (t2.fragments.length <= 0) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (r3 < 0) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'startFragmentIndex' must be >= 0";
          if (r3 >= t2.fragments.length) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'startFragmentIndex' must be < number of fragments";
          if (a3 < 1) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'numFragments' must be > 0";
          if (r3 + a3 > t2.fragments.length) throw "dicomParser.readEncapsulatedPixelDataFromFragments: parameter 'startFragment' + 'numFragments' < number of fragments";
          var i4 = new J(e2.byteArrayParser, e2.byteArray, t2.dataOffset), t2 = S(i4);
          if ("xfffee000" !== t2.tag) throw "dicomParser.readEncapsulatedPixelData: missing basic offset table xfffee000";
          i4.seek(t2.length);
          var o2 = i4.position;
          if (1 === a3) return j(i4.byteArray, o2 + n3[r3].offset + 8, n3[r3].length);
          for (var t2 = R(n3, r3, a3), s2 = k(i4.byteArray, t2), d2 = 0, f2 = r3; f2 < r3 + a3; f2++) for (var l2 = o2 + n3[f2].offset + 8, u2 = 0; u2 < n3[f2].length; u2++) s2[d2++] = i4.byteArray[l2++];
          return s2;
        }
        var H = function(e2, t2) {
          for (var r3 = 0; r3 < e2.length; r3++) if (e2[r3].offset === t2) return r3;
        }, Q = function(e2, t2, r3, a3) {
          if (e2 === t2.length - 1) return r3.length - a3;
          for (var n3 = t2[e2 + 1], i4 = a3 + 1; i4 < r3.length; i4++) if (r3[i4].offset === n3) return i4 - a3;
          throw "dicomParser.calculateNumberOfFragmentsForFrame: could not find fragment with offset matching basic offset table";
        };
        function W(e2, t2, r3, a3, n3) {
          if (a3 = a3 || t2.basicOffsetTable, n3 = n3 || t2.fragments, void 0 === e2) throw "dicomParser.readEncapsulatedImageFrame: missing required parameter 'dataSet'";
          if (void 0 === t2) throw "dicomParser.readEncapsulatedImageFrame: missing required parameter 'pixelDataElement'";
          if (void 0 === r3) throw "dicomParser.readEncapsulatedImageFrame: missing required parameter 'frameIndex'";
          if (void 0 === a3) throw "dicomParser.readEncapsulatedImageFrame: parameter 'pixelDataElement' does not have basicOffsetTable";
          if ("x7fe00010" !== t2.tag) throw "dicomParser.readEncapsulatedImageFrame: parameter 'pixelDataElement' refers to non pixel data tag (expected tag = x7fe00010)";
          if (true !== t2.encapsulatedPixelData) throw "dicomParser.readEncapsulatedImageFrame: parameter 'pixelDataElement' refers to pixel data element that does not have encapsulated pixel data";
          if (true !== t2.hadUndefinedLength) throw "dicomParser.readEncapsulatedImageFrame: parameter 'pixelDataElement' refers to pixel data element that does not have undefined length";
          if (void 0 === t2.fragments) throw "dicomParser.readEncapsulatedImageFrame: parameter 'pixelDataElement' refers to pixel data element that does not have fragments";
          if (0 === a3.length) throw "dicomParser.readEncapsulatedImageFrame: basicOffsetTable has zero entries";
          if (r3 < 0) throw "dicomParser.readEncapsulatedImageFrame: parameter 'frameIndex' must be >= 0";
          if (r3 >= a3.length) throw "dicomParser.readEncapsulatedImageFrame: parameter 'frameIndex' must be < basicOffsetTable.length";
          var i4 = a3[r3], i4 = H(n3, i4);
          if (void 0 === i4) throw "dicomParser.readEncapsulatedImageFrame: unable to find fragment that matches basic offset table entry";
          return _(e2, t2, i4, Q(r3, a3, n3, i4), n3);
        }
        var $ = false;
        function K(e2, t2, r3) {
          if ($ || ($ = true, console && console.log && console.log("WARNING: dicomParser.readEncapsulatedPixelData() has been deprecated")), void 0 === e2) throw "dicomParser.readEncapsulatedPixelData: missing required parameter 'dataSet'";
          if (void 0 === t2) throw "dicomParser.readEncapsulatedPixelData: missing required parameter 'element'";
          if (void 0 === r3) throw "dicomParser.readEncapsulatedPixelData: missing required parameter 'frame'";
          if ("x7fe00010" !== t2.tag) throw "dicomParser.readEncapsulatedPixelData: parameter 'element' refers to non pixel data tag (expected tag = x7fe00010)";
          if (true !== t2.encapsulatedPixelData) throw "dicomParser.readEncapsulatedPixelData: parameter 'element' refers to pixel data element that does not have encapsulated pixel data";
          if (true !== t2.hadUndefinedLength) throw "dicomParser.readEncapsulatedPixelData: parameter 'element' refers to pixel data element that does not have encapsulated pixel data";
          if (void 0 === t2.basicOffsetTable) throw "dicomParser.readEncapsulatedPixelData: parameter 'element' refers to pixel data element that does not have encapsulated pixel data";
          if (void 0 === t2.fragments) throw "dicomParser.readEncapsulatedPixelData: parameter 'element' refers to pixel data element that does not have encapsulated pixel data";
          if (r3 < 0) throw "dicomParser.readEncapsulatedPixelData: parameter 'frame' must be >= 0";
          return 0 !== t2.basicOffsetTable.length ? W(e2, t2, r3) : _(e2, t2, 0, t2.fragments.length);
        }
        t.default = { isStringVr: d, isPrivateTag: f, parsePN: a2, parseTM: n2, parseDA: o, explicitElementToString: l, explicitDataSetToJS: u, createJPEGBasicOffsetTable: p, parseDicomDataSetExplicit: q, parseDicomDataSetImplicit: T, readFixedString: b, alloc: k, version: L, bigEndianByteArrayParser: N, ByteStream: J, sharedCopy: j, DataSet: w, findAndSetUNElementLength: y, findEndOfEncapsulatedElement: g, findItemDelimitationItemAndSetElementLength: x2, littleEndianByteArrayParser: M, parseDicom: V, readDicomElementExplicit: B, readDicomElementImplicit: A, readEncapsulatedImageFrame: W, readEncapsulatedPixelData: K, readEncapsulatedPixelDataFromFragments: _, readPart10Header: G, readSequenceItemsExplicit: I, readSequenceItemsImplicit: F, readSequenceItem: S, readTag: h, LEI: "1.2.840.10008.1.2", LEE: "1.2.840.10008.1.2.1" };
      }], i2 = {}, n.m = a, n.c = i2, n.d = function(e, t, r2) {
        n.o(e, t) || Object.defineProperty(e, t, { enumerable: true, get: r2 });
      }, n.r = function(e) {
        "undefined" != typeof Symbol && Symbol.toStringTag && Object.defineProperty(e, Symbol.toStringTag, { value: "Module" }), Object.defineProperty(e, "__esModule", { value: true });
      }, n.t = function(t, e) {
        if (1 & e && (t = n(t)), 8 & e) return t;
        if (4 & e && "object" == typeof t && t && t.__esModule) return t;
        var r2 = /* @__PURE__ */ Object.create(null);
        if (n.r(r2), Object.defineProperty(r2, "default", { enumerable: true, value: t }), 2 & e && "string" != typeof t) for (var a2 in t) n.d(r2, a2, function(e2) {
          return t[e2];
        }.bind(null, a2));
        return r2;
      }, n.n = function(e) {
        var t = e && e.__esModule ? function() {
          return e.default;
        } : function() {
          return e;
        };
        return n.d(t, "a", t), t;
      }, n.o = function(e, t) {
        return Object.prototype.hasOwnProperty.call(e, t);
      }, n.p = "", n(n.s = 1);
      function n(e) {
        if (i2[e]) return i2[e].exports;
        var t = i2[e] = { i: e, l: false, exports: {} };
        return a[e].call(t.exports, t, t.exports, n), t.l = true, t.exports;
      }
      var a, i2;
    });
  }
});

// node_modules/@cornerstonejs/codec-libjpeg-turbo-8bit/dist/libjpegturbowasm_decode.js
var require_libjpegturbowasm_decode = __commonJS({
  "node_modules/@cornerstonejs/codec-libjpeg-turbo-8bit/dist/libjpegturbowasm_decode.js"(exports2, module2) {
    init_define_WASM();
    var libjpegturbowasm_decode = (() => {
      var _scriptName = typeof document != "undefined" ? document.currentScript?.src : void 0;
      if (typeof __filename != "undefined") _scriptName = _scriptName || __filename;
      return (function(moduleArg = {}) {
        var moduleRtn;
        var Module = moduleArg;
        var readyPromiseResolve, readyPromiseReject;
        var readyPromise = new Promise((resolve, reject) => {
          readyPromiseResolve = resolve;
          readyPromiseReject = reject;
        });
        var ENVIRONMENT_IS_WEB = typeof window == "object";
        var ENVIRONMENT_IS_WORKER = typeof WorkerGlobalScope != "undefined";
        var ENVIRONMENT_IS_NODE = typeof process == "object" && typeof process.versions == "object" && typeof process.versions.node == "string" && process.type != "renderer";
        if (ENVIRONMENT_IS_NODE) {
        }
        var moduleOverrides = Object.assign({}, Module);
        var arguments_ = [];
        var thisProgram = "./this.program";
        var quit_ = (status, toThrow) => {
          throw toThrow;
        };
        var scriptDirectory = "";
        function locateFile(path) {
          if (Module["locateFile"]) {
            return Module["locateFile"](path, scriptDirectory);
          }
          return scriptDirectory + path;
        }
        var readAsync, readBinary;
        if (ENVIRONMENT_IS_NODE) {
          var fs = __require("fs");
          var nodePath = __require("path");
          scriptDirectory = __dirname + "/";
          readBinary = (filename) => {
            filename = isFileURI(filename) ? new URL(filename) : filename;
            var ret = fs.readFileSync(filename);
            return ret;
          };
          readAsync = async (filename, binary = true) => {
            filename = isFileURI(filename) ? new URL(filename) : filename;
            var ret = fs.readFileSync(filename, binary ? void 0 : "utf8");
            return ret;
          };
          if (!Module["thisProgram"] && process.argv.length > 1) {
            thisProgram = process.argv[1].replace(/\\/g, "/");
          }
          arguments_ = process.argv.slice(2);
          quit_ = (status, toThrow) => {
            process.exitCode = status;
            throw toThrow;
          };
        } else if (ENVIRONMENT_IS_WEB || ENVIRONMENT_IS_WORKER) {
          if (ENVIRONMENT_IS_WORKER) {
            scriptDirectory = self.location.href;
          } else if (typeof document != "undefined" && document.currentScript) {
            scriptDirectory = document.currentScript.src;
          }
          if (_scriptName) {
            scriptDirectory = _scriptName;
          }
          if (scriptDirectory.startsWith("blob:")) {
            scriptDirectory = "";
          } else {
            scriptDirectory = scriptDirectory.substr(0, scriptDirectory.replace(/[?#].*/, "").lastIndexOf("/") + 1);
          }
          {
            if (ENVIRONMENT_IS_WORKER) {
              readBinary = (url) => {
                var xhr = new XMLHttpRequest();
                xhr.open("GET", url, false);
                xhr.responseType = "arraybuffer";
                xhr.send(null);
                return new Uint8Array(xhr.response);
              };
            }
            readAsync = async (url) => {
              if (isFileURI(url)) {
                return new Promise((resolve, reject) => {
                  var xhr = new XMLHttpRequest();
                  xhr.open("GET", url, true);
                  xhr.responseType = "arraybuffer";
                  xhr.onload = () => {
                    if (xhr.status == 200 || xhr.status == 0 && xhr.response) {
                      resolve(xhr.response);
                      return;
                    }
                    reject(xhr.status);
                  };
                  xhr.onerror = reject;
                  xhr.send(null);
                });
              }
              var response = await fetch(url, { credentials: "same-origin" });
              if (response.ok) {
                return response.arrayBuffer();
              }
              throw new Error(response.status + " : " + response.url);
            };
          }
        } else {
        }
        var out = Module["print"] || console.log.bind(console);
        var err2 = Module["printErr"] || console.error.bind(console);
        Object.assign(Module, moduleOverrides);
        moduleOverrides = null;
        if (Module["arguments"]) arguments_ = Module["arguments"];
        if (Module["thisProgram"]) thisProgram = Module["thisProgram"];
        var wasmBinary = Module["wasmBinary"];
        var wasmMemory;
        var ABORT = false;
        var EXITSTATUS;
        var HEAP8, HEAPU8, HEAP16, HEAPU16, HEAP32, HEAPU32, HEAPF32, HEAPF64;
        function updateMemoryViews() {
          var b = wasmMemory.buffer;
          Module["HEAP8"] = HEAP8 = new Int8Array(b);
          Module["HEAP16"] = HEAP16 = new Int16Array(b);
          Module["HEAPU8"] = HEAPU8 = new Uint8Array(b);
          Module["HEAPU16"] = HEAPU16 = new Uint16Array(b);
          Module["HEAP32"] = HEAP32 = new Int32Array(b);
          Module["HEAPU32"] = HEAPU32 = new Uint32Array(b);
          Module["HEAPF32"] = HEAPF32 = new Float32Array(b);
          Module["HEAPF64"] = HEAPF64 = new Float64Array(b);
        }
        var __ATPRERUN__ = [];
        var __ATINIT__ = [];
        var __ATPOSTRUN__ = [];
        var runtimeInitialized = false;
        function preRun() {
          if (Module["preRun"]) {
            if (typeof Module["preRun"] == "function") Module["preRun"] = [Module["preRun"]];
            while (Module["preRun"].length) {
              addOnPreRun(Module["preRun"].shift());
            }
          }
          callRuntimeCallbacks(__ATPRERUN__);
        }
        function initRuntime() {
          runtimeInitialized = true;
          callRuntimeCallbacks(__ATINIT__);
        }
        function postRun() {
          if (Module["postRun"]) {
            if (typeof Module["postRun"] == "function") Module["postRun"] = [Module["postRun"]];
            while (Module["postRun"].length) {
              addOnPostRun(Module["postRun"].shift());
            }
          }
          callRuntimeCallbacks(__ATPOSTRUN__);
        }
        function addOnPreRun(cb) {
          __ATPRERUN__.unshift(cb);
        }
        function addOnInit(cb) {
          __ATINIT__.unshift(cb);
        }
        function addOnPostRun(cb) {
          __ATPOSTRUN__.unshift(cb);
        }
        var runDependencies = 0;
        var dependenciesFulfilled = null;
        function addRunDependency(id) {
          runDependencies++;
          Module["monitorRunDependencies"]?.(runDependencies);
        }
        function removeRunDependency(id) {
          runDependencies--;
          Module["monitorRunDependencies"]?.(runDependencies);
          if (runDependencies == 0) {
            if (dependenciesFulfilled) {
              var callback = dependenciesFulfilled;
              dependenciesFulfilled = null;
              callback();
            }
          }
        }
        function abort(what) {
          Module["onAbort"]?.(what);
          what = "Aborted(" + what + ")";
          err2(what);
          ABORT = true;
          what += ". Build with -sASSERTIONS for more info.";
          var e = new WebAssembly.RuntimeError(what);
          readyPromiseReject(e);
          throw e;
        }
        var dataURIPrefix = "data:application/octet-stream;base64,";
        var isDataURI = (filename) => filename.startsWith(dataURIPrefix);
        var isFileURI = (filename) => filename.startsWith("file://");
        function findWasmBinary() {
          var f = "libjpegturbowasm_decode.wasm";
          if (!isDataURI(f)) {
            return locateFile(f);
          }
          return f;
        }
        var wasmBinaryFile;
        function getBinarySync(file) {
          if (file == wasmBinaryFile && wasmBinary) {
            return new Uint8Array(wasmBinary);
          }
          if (readBinary) {
            return readBinary(file);
          }
          throw "both async and sync fetching of the wasm failed";
        }
        async function getWasmBinary(binaryFile) {
          if (!wasmBinary) {
            try {
              var response = await readAsync(binaryFile);
              return new Uint8Array(response);
            } catch {
            }
          }
          return getBinarySync(binaryFile);
        }
        async function instantiateArrayBuffer(binaryFile, imports) {
          try {
            var binary = await getWasmBinary(binaryFile);
            var instance = await WebAssembly.instantiate(binary, imports);
            return instance;
          } catch (reason) {
            err2(`failed to asynchronously prepare wasm: ${reason}`);
            abort(reason);
          }
        }
        async function instantiateAsync(binary, binaryFile, imports) {
          if (!binary && typeof WebAssembly.instantiateStreaming == "function" && !isDataURI(binaryFile) && !isFileURI(binaryFile) && !ENVIRONMENT_IS_NODE && typeof fetch == "function") {
            try {
              var response = fetch(binaryFile, { credentials: "same-origin" });
              var instantiationResult = await WebAssembly.instantiateStreaming(response, imports);
              return instantiationResult;
            } catch (reason) {
              err2(`wasm streaming compile failed: ${reason}`);
              err2("falling back to ArrayBuffer instantiation");
            }
          }
          return instantiateArrayBuffer(binaryFile, imports);
        }
        function getWasmImports() {
          return { a: wasmImports };
        }
        async function createWasm() {
          function receiveInstance(instance, module3) {
            wasmExports = instance.exports;
            wasmMemory = wasmExports["N"];
            updateMemoryViews();
            wasmTable = wasmExports["Q"];
            addOnInit(wasmExports["O"]);
            removeRunDependency("wasm-instantiate");
            return wasmExports;
          }
          addRunDependency("wasm-instantiate");
          function receiveInstantiationResult(result2) {
            receiveInstance(result2["instance"]);
          }
          var info = getWasmImports();
          if (Module["instantiateWasm"]) {
            try {
              return Module["instantiateWasm"](info, receiveInstance);
            } catch (e) {
              err2(`Module.instantiateWasm callback failed with error: ${e}`);
              readyPromiseReject(e);
            }
          }
          wasmBinaryFile ??= findWasmBinary();
          try {
            var result = await instantiateAsync(wasmBinary, wasmBinaryFile, info);
            receiveInstantiationResult(result);
            return result;
          } catch (e) {
            readyPromiseReject(e);
            return;
          }
        }
        class ExitStatus {
          name = "ExitStatus";
          constructor(status) {
            this.message = `Program terminated with exit(${status})`;
            this.status = status;
          }
        }
        var callRuntimeCallbacks = (callbacks) => {
          while (callbacks.length > 0) {
            callbacks.shift()(Module);
          }
        };
        var noExitRuntime = Module["noExitRuntime"] || true;
        var stackRestore = (val) => __emscripten_stack_restore(val);
        var stackSave = () => _emscripten_stack_get_current();
        class ExceptionInfo {
          constructor(excPtr) {
            this.excPtr = excPtr;
            this.ptr = excPtr - 24;
          }
          set_type(type) {
            HEAPU32[this.ptr + 4 >> 2] = type;
          }
          get_type() {
            return HEAPU32[this.ptr + 4 >> 2];
          }
          set_destructor(destructor) {
            HEAPU32[this.ptr + 8 >> 2] = destructor;
          }
          get_destructor() {
            return HEAPU32[this.ptr + 8 >> 2];
          }
          set_caught(caught) {
            caught = caught ? 1 : 0;
            HEAP8[this.ptr + 12] = caught;
          }
          get_caught() {
            return HEAP8[this.ptr + 12] != 0;
          }
          set_rethrown(rethrown) {
            rethrown = rethrown ? 1 : 0;
            HEAP8[this.ptr + 13] = rethrown;
          }
          get_rethrown() {
            return HEAP8[this.ptr + 13] != 0;
          }
          init(type, destructor) {
            this.set_adjusted_ptr(0);
            this.set_type(type);
            this.set_destructor(destructor);
          }
          set_adjusted_ptr(adjustedPtr) {
            HEAPU32[this.ptr + 16 >> 2] = adjustedPtr;
          }
          get_adjusted_ptr() {
            return HEAPU32[this.ptr + 16 >> 2];
          }
        }
        var exceptionLast = 0;
        var uncaughtExceptionCount = 0;
        var ___cxa_throw = (ptr, type, destructor) => {
          var info = new ExceptionInfo(ptr);
          info.init(type, destructor);
          exceptionLast = ptr;
          uncaughtExceptionCount++;
          throw exceptionLast;
        };
        var __abort_js = () => abort("");
        var structRegistrations = {};
        var runDestructors = (destructors) => {
          while (destructors.length) {
            var ptr = destructors.pop();
            var del = destructors.pop();
            del(ptr);
          }
        };
        function readPointer(pointer) {
          return this["fromWireType"](HEAPU32[pointer >> 2]);
        }
        var awaitingDependencies = {};
        var registeredTypes = {};
        var typeDependencies = {};
        var InternalError;
        var throwInternalError = (message) => {
          throw new InternalError(message);
        };
        var whenDependentTypesAreResolved = (myTypes, dependentTypes, getTypeConverters) => {
          myTypes.forEach((type) => typeDependencies[type] = dependentTypes);
          function onComplete(typeConverters2) {
            var myTypeConverters = getTypeConverters(typeConverters2);
            if (myTypeConverters.length !== myTypes.length) {
              throwInternalError("Mismatched type converter count");
            }
            for (var i2 = 0; i2 < myTypes.length; ++i2) {
              registerType(myTypes[i2], myTypeConverters[i2]);
            }
          }
          var typeConverters = new Array(dependentTypes.length);
          var unregisteredTypes = [];
          var registered = 0;
          dependentTypes.forEach((dt, i2) => {
            if (registeredTypes.hasOwnProperty(dt)) {
              typeConverters[i2] = registeredTypes[dt];
            } else {
              unregisteredTypes.push(dt);
              if (!awaitingDependencies.hasOwnProperty(dt)) {
                awaitingDependencies[dt] = [];
              }
              awaitingDependencies[dt].push(() => {
                typeConverters[i2] = registeredTypes[dt];
                ++registered;
                if (registered === unregisteredTypes.length) {
                  onComplete(typeConverters);
                }
              });
            }
          });
          if (0 === unregisteredTypes.length) {
            onComplete(typeConverters);
          }
        };
        var __embind_finalize_value_object = (structType) => {
          var reg = structRegistrations[structType];
          delete structRegistrations[structType];
          var rawConstructor = reg.rawConstructor;
          var rawDestructor = reg.rawDestructor;
          var fieldRecords = reg.fields;
          var fieldTypes = fieldRecords.map((field) => field.getterReturnType).concat(fieldRecords.map((field) => field.setterArgumentType));
          whenDependentTypesAreResolved([structType], fieldTypes, (fieldTypes2) => {
            var fields = {};
            fieldRecords.forEach((field, i2) => {
              var fieldName = field.fieldName;
              var getterReturnType = fieldTypes2[i2];
              var getter = field.getter;
              var getterContext = field.getterContext;
              var setterArgumentType = fieldTypes2[i2 + fieldRecords.length];
              var setter = field.setter;
              var setterContext = field.setterContext;
              fields[fieldName] = { read: (ptr) => getterReturnType["fromWireType"](getter(getterContext, ptr)), write: (ptr, o) => {
                var destructors = [];
                setter(setterContext, ptr, setterArgumentType["toWireType"](destructors, o));
                runDestructors(destructors);
              } };
            });
            return [{ name: reg.name, fromWireType: (ptr) => {
              var rv = {};
              for (var i2 in fields) {
                rv[i2] = fields[i2].read(ptr);
              }
              rawDestructor(ptr);
              return rv;
            }, toWireType: (destructors, o) => {
              for (var fieldName in fields) {
                if (!(fieldName in o)) {
                  throw new TypeError(`Missing field: "${fieldName}"`);
                }
              }
              var ptr = rawConstructor();
              for (fieldName in fields) {
                fields[fieldName].write(ptr, o[fieldName]);
              }
              if (destructors !== null) {
                destructors.push(rawDestructor, ptr);
              }
              return ptr;
            }, argPackAdvance: GenericWireTypeSize, readValueFromPointer: readPointer, destructorFunction: rawDestructor }];
          });
        };
        var __embind_register_bigint = (primitiveType, name, size, minRange, maxRange) => {
        };
        var embind_init_charCodes = () => {
          var codes = new Array(256);
          for (var i2 = 0; i2 < 256; ++i2) {
            codes[i2] = String.fromCharCode(i2);
          }
          embind_charCodes = codes;
        };
        var embind_charCodes;
        var readLatin1String = (ptr) => {
          var ret = "";
          var c = ptr;
          while (HEAPU8[c]) {
            ret += embind_charCodes[HEAPU8[c++]];
          }
          return ret;
        };
        var BindingError;
        var throwBindingError = (message) => {
          throw new BindingError(message);
        };
        function sharedRegisterType(rawType, registeredInstance, options = {}) {
          var name = registeredInstance.name;
          if (!rawType) {
            throwBindingError(`type "${name}" must have a positive integer typeid pointer`);
          }
          if (registeredTypes.hasOwnProperty(rawType)) {
            if (options.ignoreDuplicateRegistrations) {
              return;
            } else {
              throwBindingError(`Cannot register type '${name}' twice`);
            }
          }
          registeredTypes[rawType] = registeredInstance;
          delete typeDependencies[rawType];
          if (awaitingDependencies.hasOwnProperty(rawType)) {
            var callbacks = awaitingDependencies[rawType];
            delete awaitingDependencies[rawType];
            callbacks.forEach((cb) => cb());
          }
        }
        function registerType(rawType, registeredInstance, options = {}) {
          return sharedRegisterType(rawType, registeredInstance, options);
        }
        var GenericWireTypeSize = 8;
        var __embind_register_bool = (rawType, name, trueValue, falseValue) => {
          name = readLatin1String(name);
          registerType(rawType, { name, fromWireType: function(wt) {
            return !!wt;
          }, toWireType: function(destructors, o) {
            return o ? trueValue : falseValue;
          }, argPackAdvance: GenericWireTypeSize, readValueFromPointer: function(pointer) {
            return this["fromWireType"](HEAPU8[pointer]);
          }, destructorFunction: null });
        };
        var shallowCopyInternalPointer = (o) => ({ count: o.count, deleteScheduled: o.deleteScheduled, preservePointerOnDelete: o.preservePointerOnDelete, ptr: o.ptr, ptrType: o.ptrType, smartPtr: o.smartPtr, smartPtrType: o.smartPtrType });
        var throwInstanceAlreadyDeleted = (obj) => {
          function getInstanceTypeName(handle) {
            return handle.$$.ptrType.registeredClass.name;
          }
          throwBindingError(getInstanceTypeName(obj) + " instance already deleted");
        };
        var finalizationRegistry = false;
        var detachFinalizer = (handle) => {
        };
        var runDestructor = ($$) => {
          if ($$.smartPtr) {
            $$.smartPtrType.rawDestructor($$.smartPtr);
          } else {
            $$.ptrType.registeredClass.rawDestructor($$.ptr);
          }
        };
        var releaseClassHandle = ($$) => {
          $$.count.value -= 1;
          var toDelete = 0 === $$.count.value;
          if (toDelete) {
            runDestructor($$);
          }
        };
        var downcastPointer = (ptr, ptrClass, desiredClass) => {
          if (ptrClass === desiredClass) {
            return ptr;
          }
          if (void 0 === desiredClass.baseClass) {
            return null;
          }
          var rv = downcastPointer(ptr, ptrClass, desiredClass.baseClass);
          if (rv === null) {
            return null;
          }
          return desiredClass.downcast(rv);
        };
        var registeredPointers = {};
        var registeredInstances = {};
        var getBasestPointer = (class_, ptr) => {
          if (ptr === void 0) {
            throwBindingError("ptr should not be undefined");
          }
          while (class_.baseClass) {
            ptr = class_.upcast(ptr);
            class_ = class_.baseClass;
          }
          return ptr;
        };
        var getInheritedInstance = (class_, ptr) => {
          ptr = getBasestPointer(class_, ptr);
          return registeredInstances[ptr];
        };
        var makeClassHandle = (prototype, record) => {
          if (!record.ptrType || !record.ptr) {
            throwInternalError("makeClassHandle requires ptr and ptrType");
          }
          var hasSmartPtrType = !!record.smartPtrType;
          var hasSmartPtr = !!record.smartPtr;
          if (hasSmartPtrType !== hasSmartPtr) {
            throwInternalError("Both smartPtrType and smartPtr must be specified");
          }
          record.count = { value: 1 };
          return attachFinalizer(Object.create(prototype, { $$: { value: record, writable: true } }));
        };
        function RegisteredPointer_fromWireType(ptr) {
          var rawPointer = this.getPointee(ptr);
          if (!rawPointer) {
            this.destructor(ptr);
            return null;
          }
          var registeredInstance = getInheritedInstance(this.registeredClass, rawPointer);
          if (void 0 !== registeredInstance) {
            if (0 === registeredInstance.$$.count.value) {
              registeredInstance.$$.ptr = rawPointer;
              registeredInstance.$$.smartPtr = ptr;
              return registeredInstance["clone"]();
            } else {
              var rv = registeredInstance["clone"]();
              this.destructor(ptr);
              return rv;
            }
          }
          function makeDefaultHandle() {
            if (this.isSmartPointer) {
              return makeClassHandle(this.registeredClass.instancePrototype, { ptrType: this.pointeeType, ptr: rawPointer, smartPtrType: this, smartPtr: ptr });
            } else {
              return makeClassHandle(this.registeredClass.instancePrototype, { ptrType: this, ptr });
            }
          }
          var actualType = this.registeredClass.getActualType(rawPointer);
          var registeredPointerRecord = registeredPointers[actualType];
          if (!registeredPointerRecord) {
            return makeDefaultHandle.call(this);
          }
          var toType;
          if (this.isConst) {
            toType = registeredPointerRecord.constPointerType;
          } else {
            toType = registeredPointerRecord.pointerType;
          }
          var dp = downcastPointer(rawPointer, this.registeredClass, toType.registeredClass);
          if (dp === null) {
            return makeDefaultHandle.call(this);
          }
          if (this.isSmartPointer) {
            return makeClassHandle(toType.registeredClass.instancePrototype, { ptrType: toType, ptr: dp, smartPtrType: this, smartPtr: ptr });
          } else {
            return makeClassHandle(toType.registeredClass.instancePrototype, { ptrType: toType, ptr: dp });
          }
        }
        var attachFinalizer = (handle) => {
          if ("undefined" === typeof FinalizationRegistry) {
            attachFinalizer = (handle2) => handle2;
            return handle;
          }
          finalizationRegistry = new FinalizationRegistry((info) => {
            releaseClassHandle(info.$$);
          });
          attachFinalizer = (handle2) => {
            var $$ = handle2.$$;
            var hasSmartPtr = !!$$.smartPtr;
            if (hasSmartPtr) {
              var info = { $$ };
              finalizationRegistry.register(handle2, info, handle2);
            }
            return handle2;
          };
          detachFinalizer = (handle2) => finalizationRegistry.unregister(handle2);
          return attachFinalizer(handle);
        };
        var deletionQueue = [];
        var flushPendingDeletes = () => {
          while (deletionQueue.length) {
            var obj = deletionQueue.pop();
            obj.$$.deleteScheduled = false;
            obj["delete"]();
          }
        };
        var delayFunction;
        var init_ClassHandle = () => {
          Object.assign(ClassHandle.prototype, { isAliasOf(other) {
            if (!(this instanceof ClassHandle)) {
              return false;
            }
            if (!(other instanceof ClassHandle)) {
              return false;
            }
            var leftClass = this.$$.ptrType.registeredClass;
            var left = this.$$.ptr;
            other.$$ = other.$$;
            var rightClass = other.$$.ptrType.registeredClass;
            var right = other.$$.ptr;
            while (leftClass.baseClass) {
              left = leftClass.upcast(left);
              leftClass = leftClass.baseClass;
            }
            while (rightClass.baseClass) {
              right = rightClass.upcast(right);
              rightClass = rightClass.baseClass;
            }
            return leftClass === rightClass && left === right;
          }, clone() {
            if (!this.$$.ptr) {
              throwInstanceAlreadyDeleted(this);
            }
            if (this.$$.preservePointerOnDelete) {
              this.$$.count.value += 1;
              return this;
            } else {
              var clone = attachFinalizer(Object.create(Object.getPrototypeOf(this), { $$: { value: shallowCopyInternalPointer(this.$$) } }));
              clone.$$.count.value += 1;
              clone.$$.deleteScheduled = false;
              return clone;
            }
          }, delete() {
            if (!this.$$.ptr) {
              throwInstanceAlreadyDeleted(this);
            }
            if (this.$$.deleteScheduled && !this.$$.preservePointerOnDelete) {
              throwBindingError("Object already scheduled for deletion");
            }
            detachFinalizer(this);
            releaseClassHandle(this.$$);
            if (!this.$$.preservePointerOnDelete) {
              this.$$.smartPtr = void 0;
              this.$$.ptr = void 0;
            }
          }, isDeleted() {
            return !this.$$.ptr;
          }, deleteLater() {
            if (!this.$$.ptr) {
              throwInstanceAlreadyDeleted(this);
            }
            if (this.$$.deleteScheduled && !this.$$.preservePointerOnDelete) {
              throwBindingError("Object already scheduled for deletion");
            }
            deletionQueue.push(this);
            if (deletionQueue.length === 1 && delayFunction) {
              delayFunction(flushPendingDeletes);
            }
            this.$$.deleteScheduled = true;
            return this;
          } });
        };
        function ClassHandle() {
        }
        var createNamedFunction = (name, body2) => Object.defineProperty(body2, "name", { value: name });
        var ensureOverloadTable = (proto, methodName, humanName) => {
          if (void 0 === proto[methodName].overloadTable) {
            var prevFunc = proto[methodName];
            proto[methodName] = function(...args) {
              if (!proto[methodName].overloadTable.hasOwnProperty(args.length)) {
                throwBindingError(`Function '${humanName}' called with an invalid number of arguments (${args.length}) - expects one of (${proto[methodName].overloadTable})!`);
              }
              return proto[methodName].overloadTable[args.length].apply(this, args);
            };
            proto[methodName].overloadTable = [];
            proto[methodName].overloadTable[prevFunc.argCount] = prevFunc;
          }
        };
        var exposePublicSymbol = (name, value, numArguments) => {
          if (Module.hasOwnProperty(name)) {
            if (void 0 === numArguments || void 0 !== Module[name].overloadTable && void 0 !== Module[name].overloadTable[numArguments]) {
              throwBindingError(`Cannot register public name '${name}' twice`);
            }
            ensureOverloadTable(Module, name, name);
            if (Module[name].overloadTable.hasOwnProperty(numArguments)) {
              throwBindingError(`Cannot register multiple overloads of a function with the same number of arguments (${numArguments})!`);
            }
            Module[name].overloadTable[numArguments] = value;
          } else {
            Module[name] = value;
            Module[name].argCount = numArguments;
          }
        };
        var char_0 = 48;
        var char_9 = 57;
        var makeLegalFunctionName = (name) => {
          name = name.replace(/[^a-zA-Z0-9_]/g, "$");
          var f = name.charCodeAt(0);
          if (f >= char_0 && f <= char_9) {
            return `_${name}`;
          }
          return name;
        };
        function RegisteredClass(name, constructor, instancePrototype, rawDestructor, baseClass, getActualType, upcast, downcast) {
          this.name = name;
          this.constructor = constructor;
          this.instancePrototype = instancePrototype;
          this.rawDestructor = rawDestructor;
          this.baseClass = baseClass;
          this.getActualType = getActualType;
          this.upcast = upcast;
          this.downcast = downcast;
          this.pureVirtualFunctions = [];
        }
        var upcastPointer = (ptr, ptrClass, desiredClass) => {
          while (ptrClass !== desiredClass) {
            if (!ptrClass.upcast) {
              throwBindingError(`Expected null or instance of ${desiredClass.name}, got an instance of ${ptrClass.name}`);
            }
            ptr = ptrClass.upcast(ptr);
            ptrClass = ptrClass.baseClass;
          }
          return ptr;
        };
        function constNoSmartPtrRawPointerToWireType(destructors, handle) {
          if (handle === null) {
            if (this.isReference) {
              throwBindingError(`null is not a valid ${this.name}`);
            }
            return 0;
          }
          if (!handle.$$) {
            throwBindingError(`Cannot pass "${embindRepr(handle)}" as a ${this.name}`);
          }
          if (!handle.$$.ptr) {
            throwBindingError(`Cannot pass deleted object as a pointer of type ${this.name}`);
          }
          var handleClass = handle.$$.ptrType.registeredClass;
          var ptr = upcastPointer(handle.$$.ptr, handleClass, this.registeredClass);
          return ptr;
        }
        function genericPointerToWireType(destructors, handle) {
          var ptr;
          if (handle === null) {
            if (this.isReference) {
              throwBindingError(`null is not a valid ${this.name}`);
            }
            if (this.isSmartPointer) {
              ptr = this.rawConstructor();
              if (destructors !== null) {
                destructors.push(this.rawDestructor, ptr);
              }
              return ptr;
            } else {
              return 0;
            }
          }
          if (!handle || !handle.$$) {
            throwBindingError(`Cannot pass "${embindRepr(handle)}" as a ${this.name}`);
          }
          if (!handle.$$.ptr) {
            throwBindingError(`Cannot pass deleted object as a pointer of type ${this.name}`);
          }
          if (!this.isConst && handle.$$.ptrType.isConst) {
            throwBindingError(`Cannot convert argument of type ${handle.$$.smartPtrType ? handle.$$.smartPtrType.name : handle.$$.ptrType.name} to parameter type ${this.name}`);
          }
          var handleClass = handle.$$.ptrType.registeredClass;
          ptr = upcastPointer(handle.$$.ptr, handleClass, this.registeredClass);
          if (this.isSmartPointer) {
            if (void 0 === handle.$$.smartPtr) {
              throwBindingError("Passing raw pointer to smart pointer is illegal");
            }
            switch (this.sharingPolicy) {
              case 0:
                if (handle.$$.smartPtrType === this) {
                  ptr = handle.$$.smartPtr;
                } else {
                  throwBindingError(`Cannot convert argument of type ${handle.$$.smartPtrType ? handle.$$.smartPtrType.name : handle.$$.ptrType.name} to parameter type ${this.name}`);
                }
                break;
              case 1:
                ptr = handle.$$.smartPtr;
                break;
              case 2:
                if (handle.$$.smartPtrType === this) {
                  ptr = handle.$$.smartPtr;
                } else {
                  var clonedHandle = handle["clone"]();
                  ptr = this.rawShare(ptr, Emval.toHandle(() => clonedHandle["delete"]()));
                  if (destructors !== null) {
                    destructors.push(this.rawDestructor, ptr);
                  }
                }
                break;
              default:
                throwBindingError("Unsupporting sharing policy");
            }
          }
          return ptr;
        }
        function nonConstNoSmartPtrRawPointerToWireType(destructors, handle) {
          if (handle === null) {
            if (this.isReference) {
              throwBindingError(`null is not a valid ${this.name}`);
            }
            return 0;
          }
          if (!handle.$$) {
            throwBindingError(`Cannot pass "${embindRepr(handle)}" as a ${this.name}`);
          }
          if (!handle.$$.ptr) {
            throwBindingError(`Cannot pass deleted object as a pointer of type ${this.name}`);
          }
          if (handle.$$.ptrType.isConst) {
            throwBindingError(`Cannot convert argument of type ${handle.$$.ptrType.name} to parameter type ${this.name}`);
          }
          var handleClass = handle.$$.ptrType.registeredClass;
          var ptr = upcastPointer(handle.$$.ptr, handleClass, this.registeredClass);
          return ptr;
        }
        var init_RegisteredPointer = () => {
          Object.assign(RegisteredPointer.prototype, { getPointee(ptr) {
            if (this.rawGetPointee) {
              ptr = this.rawGetPointee(ptr);
            }
            return ptr;
          }, destructor(ptr) {
            this.rawDestructor?.(ptr);
          }, argPackAdvance: GenericWireTypeSize, readValueFromPointer: readPointer, fromWireType: RegisteredPointer_fromWireType });
        };
        function RegisteredPointer(name, registeredClass, isReference, isConst, isSmartPointer, pointeeType, sharingPolicy, rawGetPointee, rawConstructor, rawShare, rawDestructor) {
          this.name = name;
          this.registeredClass = registeredClass;
          this.isReference = isReference;
          this.isConst = isConst;
          this.isSmartPointer = isSmartPointer;
          this.pointeeType = pointeeType;
          this.sharingPolicy = sharingPolicy;
          this.rawGetPointee = rawGetPointee;
          this.rawConstructor = rawConstructor;
          this.rawShare = rawShare;
          this.rawDestructor = rawDestructor;
          if (!isSmartPointer && registeredClass.baseClass === void 0) {
            if (isConst) {
              this["toWireType"] = constNoSmartPtrRawPointerToWireType;
              this.destructorFunction = null;
            } else {
              this["toWireType"] = nonConstNoSmartPtrRawPointerToWireType;
              this.destructorFunction = null;
            }
          } else {
            this["toWireType"] = genericPointerToWireType;
          }
        }
        var replacePublicSymbol = (name, value, numArguments) => {
          if (!Module.hasOwnProperty(name)) {
            throwInternalError("Replacing nonexistent public symbol");
          }
          if (void 0 !== Module[name].overloadTable && void 0 !== numArguments) {
            Module[name].overloadTable[numArguments] = value;
          } else {
            Module[name] = value;
            Module[name].argCount = numArguments;
          }
        };
        var dynCallLegacy = (sig, ptr, args) => {
          sig = sig.replace(/p/g, "i");
          var f = Module["dynCall_" + sig];
          return f(ptr, ...args);
        };
        var wasmTableMirror = [];
        var wasmTable;
        var getWasmTableEntry = (funcPtr) => {
          var func = wasmTableMirror[funcPtr];
          if (!func) {
            if (funcPtr >= wasmTableMirror.length) wasmTableMirror.length = funcPtr + 1;
            wasmTableMirror[funcPtr] = func = wasmTable.get(funcPtr);
          }
          return func;
        };
        var dynCall = (sig, ptr, args = []) => {
          if (sig.includes("j")) {
            return dynCallLegacy(sig, ptr, args);
          }
          var rtn = getWasmTableEntry(ptr)(...args);
          return rtn;
        };
        var getDynCaller = (sig, ptr) => (...args) => dynCall(sig, ptr, args);
        var embind__requireFunction = (signature, rawFunction) => {
          signature = readLatin1String(signature);
          function makeDynCaller() {
            if (signature.includes("j")) {
              return getDynCaller(signature, rawFunction);
            }
            return getWasmTableEntry(rawFunction);
          }
          var fp = makeDynCaller();
          if (typeof fp != "function") {
            throwBindingError(`unknown function pointer with signature ${signature}: ${rawFunction}`);
          }
          return fp;
        };
        var extendError = (baseErrorType, errorName) => {
          var errorClass = createNamedFunction(errorName, function(message) {
            this.name = errorName;
            this.message = message;
            var stack = new Error(message).stack;
            if (stack !== void 0) {
              this.stack = this.toString() + "\n" + stack.replace(/^Error(:[^\n]*)?\n/, "");
            }
          });
          errorClass.prototype = Object.create(baseErrorType.prototype);
          errorClass.prototype.constructor = errorClass;
          errorClass.prototype.toString = function() {
            if (this.message === void 0) {
              return this.name;
            } else {
              return `${this.name}: ${this.message}`;
            }
          };
          return errorClass;
        };
        var UnboundTypeError;
        var getTypeName = (type) => {
          var ptr = ___getTypeName(type);
          var rv = readLatin1String(ptr);
          _free(ptr);
          return rv;
        };
        var throwUnboundTypeError = (message, types) => {
          var unboundTypes = [];
          var seen = {};
          function visit(type) {
            if (seen[type]) {
              return;
            }
            if (registeredTypes[type]) {
              return;
            }
            if (typeDependencies[type]) {
              typeDependencies[type].forEach(visit);
              return;
            }
            unboundTypes.push(type);
            seen[type] = true;
          }
          types.forEach(visit);
          throw new UnboundTypeError(`${message}: ` + unboundTypes.map(getTypeName).join([", "]));
        };
        var __embind_register_class = (rawType, rawPointerType, rawConstPointerType, baseClassRawType, getActualTypeSignature, getActualType, upcastSignature, upcast, downcastSignature, downcast, name, destructorSignature, rawDestructor) => {
          name = readLatin1String(name);
          getActualType = embind__requireFunction(getActualTypeSignature, getActualType);
          upcast &&= embind__requireFunction(upcastSignature, upcast);
          downcast &&= embind__requireFunction(downcastSignature, downcast);
          rawDestructor = embind__requireFunction(destructorSignature, rawDestructor);
          var legalFunctionName = makeLegalFunctionName(name);
          exposePublicSymbol(legalFunctionName, function() {
            throwUnboundTypeError(`Cannot construct ${name} due to unbound types`, [baseClassRawType]);
          });
          whenDependentTypesAreResolved([rawType, rawPointerType, rawConstPointerType], baseClassRawType ? [baseClassRawType] : [], (base) => {
            base = base[0];
            var baseClass;
            var basePrototype;
            if (baseClassRawType) {
              baseClass = base.registeredClass;
              basePrototype = baseClass.instancePrototype;
            } else {
              basePrototype = ClassHandle.prototype;
            }
            var constructor = createNamedFunction(name, function(...args) {
              if (Object.getPrototypeOf(this) !== instancePrototype) {
                throw new BindingError("Use 'new' to construct " + name);
              }
              if (void 0 === registeredClass.constructor_body) {
                throw new BindingError(name + " has no accessible constructor");
              }
              var body2 = registeredClass.constructor_body[args.length];
              if (void 0 === body2) {
                throw new BindingError(`Tried to invoke ctor of ${name} with invalid number of parameters (${args.length}) - expected (${Object.keys(registeredClass.constructor_body).toString()}) parameters instead!`);
              }
              return body2.apply(this, args);
            });
            var instancePrototype = Object.create(basePrototype, { constructor: { value: constructor } });
            constructor.prototype = instancePrototype;
            var registeredClass = new RegisteredClass(name, constructor, instancePrototype, rawDestructor, baseClass, getActualType, upcast, downcast);
            if (registeredClass.baseClass) {
              registeredClass.baseClass.__derivedClasses ??= [];
              registeredClass.baseClass.__derivedClasses.push(registeredClass);
            }
            var referenceConverter = new RegisteredPointer(name, registeredClass, true, false, false);
            var pointerConverter = new RegisteredPointer(name + "*", registeredClass, false, false, false);
            var constPointerConverter = new RegisteredPointer(name + " const*", registeredClass, false, true, false);
            registeredPointers[rawType] = { pointerType: pointerConverter, constPointerType: constPointerConverter };
            replacePublicSymbol(legalFunctionName, constructor);
            return [referenceConverter, pointerConverter, constPointerConverter];
          });
        };
        var heap32VectorToArray = (count, firstElement) => {
          var array = [];
          for (var i2 = 0; i2 < count; i2++) {
            array.push(HEAPU32[firstElement + i2 * 4 >> 2]);
          }
          return array;
        };
        function usesDestructorStack(argTypes) {
          for (var i2 = 1; i2 < argTypes.length; ++i2) {
            if (argTypes[i2] !== null && argTypes[i2].destructorFunction === void 0) {
              return true;
            }
          }
          return false;
        }
        var InvokerFunctions = { ftf: function(humanName, throwBindingError2, invoker, fn, runDestructors2, retType, classParam) {
          return function() {
            var rv = invoker(fn);
            var ret = retType["fromWireType"](rv);
            return ret;
          };
        }, ttfnn: function(humanName, throwBindingError2, invoker, fn, runDestructors2, retType, classParam, argType0) {
          return function(arg0) {
            var thisWired = classParam["toWireType"](null, this);
            var arg0Wired = argType0["toWireType"](null, arg0);
            var rv = invoker(fn, thisWired, arg0Wired);
            var ret = retType["fromWireType"](rv);
            return ret;
          };
        }, ttfn: function(humanName, throwBindingError2, invoker, fn, runDestructors2, retType, classParam) {
          return function() {
            var thisWired = classParam["toWireType"](null, this);
            var rv = invoker(fn, thisWired);
            var ret = retType["fromWireType"](rv);
            return ret;
          };
        }, tffn: function(humanName, throwBindingError2, invoker, fn, runDestructors2, retType, classParam) {
          return function() {
            var thisWired = classParam["toWireType"](null, this);
            invoker(fn, thisWired);
          };
        } };
        function createJsInvokerSignature(argTypes, isClassMethodFunc, returns, isAsync) {
          const signature = [isClassMethodFunc ? "t" : "f", returns ? "t" : "f", isAsync ? "t" : "f"];
          for (let i2 = isClassMethodFunc ? 1 : 2; i2 < argTypes.length; ++i2) {
            const arg = argTypes[i2];
            let destructorSig = "";
            if (arg.destructorFunction === void 0) {
              destructorSig = "u";
            } else if (arg.destructorFunction === null) {
              destructorSig = "n";
            } else {
              destructorSig = "t";
            }
            signature.push(destructorSig);
          }
          return signature.join("");
        }
        function craftInvokerFunction(humanName, argTypes, classType, cppInvokerFunc, cppTargetFunc, isAsync) {
          var argCount = argTypes.length;
          if (argCount < 2) {
            throwBindingError("argTypes array size mismatch! Must at least get return value and 'this' types!");
          }
          var isClassMethodFunc = argTypes[1] !== null && classType !== null;
          var needsDestructorStack = usesDestructorStack(argTypes);
          var returns = argTypes[0].name !== "void";
          var closureArgs = [humanName, throwBindingError, cppInvokerFunc, cppTargetFunc, runDestructors, argTypes[0], argTypes[1]];
          for (var i2 = 0; i2 < argCount - 2; ++i2) {
            closureArgs.push(argTypes[i2 + 2]);
          }
          if (!needsDestructorStack) {
            for (var i2 = isClassMethodFunc ? 1 : 2; i2 < argTypes.length; ++i2) {
              if (argTypes[i2].destructorFunction !== null) {
                closureArgs.push(argTypes[i2].destructorFunction);
              }
            }
          }
          var signature = createJsInvokerSignature(argTypes, isClassMethodFunc, returns, isAsync);
          var invokerFn = InvokerFunctions[signature](...closureArgs);
          return createNamedFunction(humanName, invokerFn);
        }
        var __embind_register_class_constructor = (rawClassType, argCount, rawArgTypesAddr, invokerSignature, invoker, rawConstructor) => {
          var rawArgTypes = heap32VectorToArray(argCount, rawArgTypesAddr);
          invoker = embind__requireFunction(invokerSignature, invoker);
          whenDependentTypesAreResolved([], [rawClassType], (classType) => {
            classType = classType[0];
            var humanName = `constructor ${classType.name}`;
            if (void 0 === classType.registeredClass.constructor_body) {
              classType.registeredClass.constructor_body = [];
            }
            if (void 0 !== classType.registeredClass.constructor_body[argCount - 1]) {
              throw new BindingError(`Cannot register multiple constructors with identical number of parameters (${argCount - 1}) for class '${classType.name}'! Overload resolution is currently only performed using the parameter count, not actual type info!`);
            }
            classType.registeredClass.constructor_body[argCount - 1] = () => {
              throwUnboundTypeError(`Cannot construct ${classType.name} due to unbound types`, rawArgTypes);
            };
            whenDependentTypesAreResolved([], rawArgTypes, (argTypes) => {
              argTypes.splice(1, 0, null);
              classType.registeredClass.constructor_body[argCount - 1] = craftInvokerFunction(humanName, argTypes, null, invoker, rawConstructor);
              return [];
            });
            return [];
          });
        };
        var getFunctionName = (signature) => {
          signature = signature.trim();
          const argsIndex = signature.indexOf("(");
          if (argsIndex !== -1) {
            return signature.substr(0, argsIndex);
          } else {
            return signature;
          }
        };
        var __embind_register_class_function = (rawClassType, methodName, argCount, rawArgTypesAddr, invokerSignature, rawInvoker, context, isPureVirtual, isAsync, isNonnullReturn) => {
          var rawArgTypes = heap32VectorToArray(argCount, rawArgTypesAddr);
          methodName = readLatin1String(methodName);
          methodName = getFunctionName(methodName);
          rawInvoker = embind__requireFunction(invokerSignature, rawInvoker);
          whenDependentTypesAreResolved([], [rawClassType], (classType) => {
            classType = classType[0];
            var humanName = `${classType.name}.${methodName}`;
            if (methodName.startsWith("@@")) {
              methodName = Symbol[methodName.substring(2)];
            }
            if (isPureVirtual) {
              classType.registeredClass.pureVirtualFunctions.push(methodName);
            }
            function unboundTypesHandler() {
              throwUnboundTypeError(`Cannot call ${humanName} due to unbound types`, rawArgTypes);
            }
            var proto = classType.registeredClass.instancePrototype;
            var method = proto[methodName];
            if (void 0 === method || void 0 === method.overloadTable && method.className !== classType.name && method.argCount === argCount - 2) {
              unboundTypesHandler.argCount = argCount - 2;
              unboundTypesHandler.className = classType.name;
              proto[methodName] = unboundTypesHandler;
            } else {
              ensureOverloadTable(proto, methodName, humanName);
              proto[methodName].overloadTable[argCount - 2] = unboundTypesHandler;
            }
            whenDependentTypesAreResolved([], rawArgTypes, (argTypes) => {
              var memberFunction = craftInvokerFunction(humanName, argTypes, classType, rawInvoker, context, isAsync);
              if (void 0 === proto[methodName].overloadTable) {
                memberFunction.argCount = argCount - 2;
                proto[methodName] = memberFunction;
              } else {
                proto[methodName].overloadTable[argCount - 2] = memberFunction;
              }
              return [];
            });
            return [];
          });
        };
        var emval_freelist = [];
        var emval_handles = [];
        var __emval_decref = (handle) => {
          if (handle > 9 && 0 === --emval_handles[handle + 1]) {
            emval_handles[handle] = void 0;
            emval_freelist.push(handle);
          }
        };
        var count_emval_handles = () => emval_handles.length / 2 - 5 - emval_freelist.length;
        var init_emval = () => {
          emval_handles.push(0, 1, void 0, 1, null, 1, true, 1, false, 1);
          Module["count_emval_handles"] = count_emval_handles;
        };
        var Emval = { toValue: (handle) => {
          if (!handle) {
            throwBindingError("Cannot use deleted val. handle = " + handle);
          }
          return emval_handles[handle];
        }, toHandle: (value) => {
          switch (value) {
            case void 0:
              return 2;
            case null:
              return 4;
            case true:
              return 6;
            case false:
              return 8;
            default: {
              const handle = emval_freelist.pop() || emval_handles.length;
              emval_handles[handle] = value;
              emval_handles[handle + 1] = 1;
              return handle;
            }
          }
        } };
        var EmValType = { name: "emscripten::val", fromWireType: (handle) => {
          var rv = Emval.toValue(handle);
          __emval_decref(handle);
          return rv;
        }, toWireType: (destructors, value) => Emval.toHandle(value), argPackAdvance: GenericWireTypeSize, readValueFromPointer: readPointer, destructorFunction: null };
        var __embind_register_emval = (rawType) => registerType(rawType, EmValType);
        var embindRepr = (v) => {
          if (v === null) {
            return "null";
          }
          var t = typeof v;
          if (t === "object" || t === "array" || t === "function") {
            return v.toString();
          } else {
            return "" + v;
          }
        };
        var floatReadValueFromPointer = (name, width) => {
          switch (width) {
            case 4:
              return function(pointer) {
                return this["fromWireType"](HEAPF32[pointer >> 2]);
              };
            case 8:
              return function(pointer) {
                return this["fromWireType"](HEAPF64[pointer >> 3]);
              };
            default:
              throw new TypeError(`invalid float width (${width}): ${name}`);
          }
        };
        var __embind_register_float = (rawType, name, size) => {
          name = readLatin1String(name);
          registerType(rawType, { name, fromWireType: (value) => value, toWireType: (destructors, value) => value, argPackAdvance: GenericWireTypeSize, readValueFromPointer: floatReadValueFromPointer(name, size), destructorFunction: null });
        };
        var integerReadValueFromPointer = (name, width, signed) => {
          switch (width) {
            case 1:
              return signed ? (pointer) => HEAP8[pointer] : (pointer) => HEAPU8[pointer];
            case 2:
              return signed ? (pointer) => HEAP16[pointer >> 1] : (pointer) => HEAPU16[pointer >> 1];
            case 4:
              return signed ? (pointer) => HEAP32[pointer >> 2] : (pointer) => HEAPU32[pointer >> 2];
            default:
              throw new TypeError(`invalid integer width (${width}): ${name}`);
          }
        };
        var __embind_register_integer = (primitiveType, name, size, minRange, maxRange) => {
          name = readLatin1String(name);
          if (maxRange === -1) {
            maxRange = 4294967295;
          }
          var fromWireType = (value) => value;
          if (minRange === 0) {
            var bitshift = 32 - 8 * size;
            fromWireType = (value) => value << bitshift >>> bitshift;
          }
          var isUnsignedType = name.includes("unsigned");
          var checkAssertions = (value, toTypeName) => {
          };
          var toWireType;
          if (isUnsignedType) {
            toWireType = function(destructors, value) {
              checkAssertions(value, this.name);
              return value >>> 0;
            };
          } else {
            toWireType = function(destructors, value) {
              checkAssertions(value, this.name);
              return value;
            };
          }
          registerType(primitiveType, { name, fromWireType, toWireType, argPackAdvance: GenericWireTypeSize, readValueFromPointer: integerReadValueFromPointer(name, size, minRange !== 0), destructorFunction: null });
        };
        var __embind_register_memory_view = (rawType, dataTypeIndex, name) => {
          var typeMapping = [Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array];
          var TA = typeMapping[dataTypeIndex];
          function decodeMemoryView(handle) {
            var size = HEAPU32[handle >> 2];
            var data = HEAPU32[handle + 4 >> 2];
            return new TA(HEAP8.buffer, data, size);
          }
          name = readLatin1String(name);
          registerType(rawType, { name, fromWireType: decodeMemoryView, argPackAdvance: GenericWireTypeSize, readValueFromPointer: decodeMemoryView }, { ignoreDuplicateRegistrations: true });
        };
        var stringToUTF8Array = (str, heap, outIdx, maxBytesToWrite) => {
          if (!(maxBytesToWrite > 0)) return 0;
          var startIdx = outIdx;
          var endIdx = outIdx + maxBytesToWrite - 1;
          for (var i2 = 0; i2 < str.length; ++i2) {
            var u = str.charCodeAt(i2);
            if (u >= 55296 && u <= 57343) {
              var u1 = str.charCodeAt(++i2);
              u = 65536 + ((u & 1023) << 10) | u1 & 1023;
            }
            if (u <= 127) {
              if (outIdx >= endIdx) break;
              heap[outIdx++] = u;
            } else if (u <= 2047) {
              if (outIdx + 1 >= endIdx) break;
              heap[outIdx++] = 192 | u >> 6;
              heap[outIdx++] = 128 | u & 63;
            } else if (u <= 65535) {
              if (outIdx + 2 >= endIdx) break;
              heap[outIdx++] = 224 | u >> 12;
              heap[outIdx++] = 128 | u >> 6 & 63;
              heap[outIdx++] = 128 | u & 63;
            } else {
              if (outIdx + 3 >= endIdx) break;
              heap[outIdx++] = 240 | u >> 18;
              heap[outIdx++] = 128 | u >> 12 & 63;
              heap[outIdx++] = 128 | u >> 6 & 63;
              heap[outIdx++] = 128 | u & 63;
            }
          }
          heap[outIdx] = 0;
          return outIdx - startIdx;
        };
        var stringToUTF8 = (str, outPtr, maxBytesToWrite) => stringToUTF8Array(str, HEAPU8, outPtr, maxBytesToWrite);
        var lengthBytesUTF8 = (str) => {
          var len = 0;
          for (var i2 = 0; i2 < str.length; ++i2) {
            var c = str.charCodeAt(i2);
            if (c <= 127) {
              len++;
            } else if (c <= 2047) {
              len += 2;
            } else if (c >= 55296 && c <= 57343) {
              len += 4;
              ++i2;
            } else {
              len += 3;
            }
          }
          return len;
        };
        var UTF8Decoder = typeof TextDecoder != "undefined" ? new TextDecoder() : void 0;
        var UTF8ArrayToString = (heapOrArray, idx = 0, maxBytesToRead = NaN) => {
          var endIdx = idx + maxBytesToRead;
          var endPtr = idx;
          while (heapOrArray[endPtr] && !(endPtr >= endIdx)) ++endPtr;
          if (endPtr - idx > 16 && heapOrArray.buffer && UTF8Decoder) {
            return UTF8Decoder.decode(heapOrArray.subarray(idx, endPtr));
          }
          var str = "";
          while (idx < endPtr) {
            var u0 = heapOrArray[idx++];
            if (!(u0 & 128)) {
              str += String.fromCharCode(u0);
              continue;
            }
            var u1 = heapOrArray[idx++] & 63;
            if ((u0 & 224) == 192) {
              str += String.fromCharCode((u0 & 31) << 6 | u1);
              continue;
            }
            var u2 = heapOrArray[idx++] & 63;
            if ((u0 & 240) == 224) {
              u0 = (u0 & 15) << 12 | u1 << 6 | u2;
            } else {
              u0 = (u0 & 7) << 18 | u1 << 12 | u2 << 6 | heapOrArray[idx++] & 63;
            }
            if (u0 < 65536) {
              str += String.fromCharCode(u0);
            } else {
              var ch = u0 - 65536;
              str += String.fromCharCode(55296 | ch >> 10, 56320 | ch & 1023);
            }
          }
          return str;
        };
        var UTF8ToString = (ptr, maxBytesToRead) => ptr ? UTF8ArrayToString(HEAPU8, ptr, maxBytesToRead) : "";
        var __embind_register_std_string = (rawType, name) => {
          name = readLatin1String(name);
          var stdStringIsUTF8 = true;
          registerType(rawType, { name, fromWireType(value) {
            var length = HEAPU32[value >> 2];
            var payload = value + 4;
            var str;
            if (stdStringIsUTF8) {
              var decodeStartPtr = payload;
              for (var i2 = 0; i2 <= length; ++i2) {
                var currentBytePtr = payload + i2;
                if (i2 == length || HEAPU8[currentBytePtr] == 0) {
                  var maxRead = currentBytePtr - decodeStartPtr;
                  var stringSegment = UTF8ToString(decodeStartPtr, maxRead);
                  if (str === void 0) {
                    str = stringSegment;
                  } else {
                    str += String.fromCharCode(0);
                    str += stringSegment;
                  }
                  decodeStartPtr = currentBytePtr + 1;
                }
              }
            } else {
              var a = new Array(length);
              for (var i2 = 0; i2 < length; ++i2) {
                a[i2] = String.fromCharCode(HEAPU8[payload + i2]);
              }
              str = a.join("");
            }
            _free(value);
            return str;
          }, toWireType(destructors, value) {
            if (value instanceof ArrayBuffer) {
              value = new Uint8Array(value);
            }
            var length;
            var valueIsOfTypeString = typeof value == "string";
            if (!(valueIsOfTypeString || value instanceof Uint8Array || value instanceof Uint8ClampedArray || value instanceof Int8Array)) {
              throwBindingError("Cannot pass non-string to std::string");
            }
            if (stdStringIsUTF8 && valueIsOfTypeString) {
              length = lengthBytesUTF8(value);
            } else {
              length = value.length;
            }
            var base = _malloc(4 + length + 1);
            var ptr = base + 4;
            HEAPU32[base >> 2] = length;
            if (stdStringIsUTF8 && valueIsOfTypeString) {
              stringToUTF8(value, ptr, length + 1);
            } else {
              if (valueIsOfTypeString) {
                for (var i2 = 0; i2 < length; ++i2) {
                  var charCode = value.charCodeAt(i2);
                  if (charCode > 255) {
                    _free(ptr);
                    throwBindingError("String has UTF-16 code units that do not fit in 8 bits");
                  }
                  HEAPU8[ptr + i2] = charCode;
                }
              } else {
                for (var i2 = 0; i2 < length; ++i2) {
                  HEAPU8[ptr + i2] = value[i2];
                }
              }
            }
            if (destructors !== null) {
              destructors.push(_free, base);
            }
            return base;
          }, argPackAdvance: GenericWireTypeSize, readValueFromPointer: readPointer, destructorFunction(ptr) {
            _free(ptr);
          } });
        };
        var UTF16Decoder = typeof TextDecoder != "undefined" ? new TextDecoder("utf-16le") : void 0;
        var UTF16ToString = (ptr, maxBytesToRead) => {
          var endPtr = ptr;
          var idx = endPtr >> 1;
          var maxIdx = idx + maxBytesToRead / 2;
          while (!(idx >= maxIdx) && HEAPU16[idx]) ++idx;
          endPtr = idx << 1;
          if (endPtr - ptr > 32 && UTF16Decoder) return UTF16Decoder.decode(HEAPU8.subarray(ptr, endPtr));
          var str = "";
          for (var i2 = 0; !(i2 >= maxBytesToRead / 2); ++i2) {
            var codeUnit = HEAP16[ptr + i2 * 2 >> 1];
            if (codeUnit == 0) break;
            str += String.fromCharCode(codeUnit);
          }
          return str;
        };
        var stringToUTF16 = (str, outPtr, maxBytesToWrite) => {
          maxBytesToWrite ??= 2147483647;
          if (maxBytesToWrite < 2) return 0;
          maxBytesToWrite -= 2;
          var startPtr = outPtr;
          var numCharsToWrite = maxBytesToWrite < str.length * 2 ? maxBytesToWrite / 2 : str.length;
          for (var i2 = 0; i2 < numCharsToWrite; ++i2) {
            var codeUnit = str.charCodeAt(i2);
            HEAP16[outPtr >> 1] = codeUnit;
            outPtr += 2;
          }
          HEAP16[outPtr >> 1] = 0;
          return outPtr - startPtr;
        };
        var lengthBytesUTF16 = (str) => str.length * 2;
        var UTF32ToString = (ptr, maxBytesToRead) => {
          var i2 = 0;
          var str = "";
          while (!(i2 >= maxBytesToRead / 4)) {
            var utf32 = HEAP32[ptr + i2 * 4 >> 2];
            if (utf32 == 0) break;
            ++i2;
            if (utf32 >= 65536) {
              var ch = utf32 - 65536;
              str += String.fromCharCode(55296 | ch >> 10, 56320 | ch & 1023);
            } else {
              str += String.fromCharCode(utf32);
            }
          }
          return str;
        };
        var stringToUTF32 = (str, outPtr, maxBytesToWrite) => {
          maxBytesToWrite ??= 2147483647;
          if (maxBytesToWrite < 4) return 0;
          var startPtr = outPtr;
          var endPtr = startPtr + maxBytesToWrite - 4;
          for (var i2 = 0; i2 < str.length; ++i2) {
            var codeUnit = str.charCodeAt(i2);
            if (codeUnit >= 55296 && codeUnit <= 57343) {
              var trailSurrogate = str.charCodeAt(++i2);
              codeUnit = 65536 + ((codeUnit & 1023) << 10) | trailSurrogate & 1023;
            }
            HEAP32[outPtr >> 2] = codeUnit;
            outPtr += 4;
            if (outPtr + 4 > endPtr) break;
          }
          HEAP32[outPtr >> 2] = 0;
          return outPtr - startPtr;
        };
        var lengthBytesUTF32 = (str) => {
          var len = 0;
          for (var i2 = 0; i2 < str.length; ++i2) {
            var codeUnit = str.charCodeAt(i2);
            if (codeUnit >= 55296 && codeUnit <= 57343) ++i2;
            len += 4;
          }
          return len;
        };
        var __embind_register_std_wstring = (rawType, charSize, name) => {
          name = readLatin1String(name);
          var decodeString, encodeString, readCharAt, lengthBytesUTF;
          if (charSize === 2) {
            decodeString = UTF16ToString;
            encodeString = stringToUTF16;
            lengthBytesUTF = lengthBytesUTF16;
            readCharAt = (pointer) => HEAPU16[pointer >> 1];
          } else if (charSize === 4) {
            decodeString = UTF32ToString;
            encodeString = stringToUTF32;
            lengthBytesUTF = lengthBytesUTF32;
            readCharAt = (pointer) => HEAPU32[pointer >> 2];
          }
          registerType(rawType, { name, fromWireType: (value) => {
            var length = HEAPU32[value >> 2];
            var str;
            var decodeStartPtr = value + 4;
            for (var i2 = 0; i2 <= length; ++i2) {
              var currentBytePtr = value + 4 + i2 * charSize;
              if (i2 == length || readCharAt(currentBytePtr) == 0) {
                var maxReadBytes = currentBytePtr - decodeStartPtr;
                var stringSegment = decodeString(decodeStartPtr, maxReadBytes);
                if (str === void 0) {
                  str = stringSegment;
                } else {
                  str += String.fromCharCode(0);
                  str += stringSegment;
                }
                decodeStartPtr = currentBytePtr + charSize;
              }
            }
            _free(value);
            return str;
          }, toWireType: (destructors, value) => {
            if (!(typeof value == "string")) {
              throwBindingError(`Cannot pass non-string to C++ string type ${name}`);
            }
            var length = lengthBytesUTF(value);
            var ptr = _malloc(4 + length + charSize);
            HEAPU32[ptr >> 2] = length / charSize;
            encodeString(value, ptr + 4, length + charSize);
            if (destructors !== null) {
              destructors.push(_free, ptr);
            }
            return ptr;
          }, argPackAdvance: GenericWireTypeSize, readValueFromPointer: readPointer, destructorFunction(ptr) {
            _free(ptr);
          } });
        };
        var __embind_register_value_object = (rawType, name, constructorSignature, rawConstructor, destructorSignature, rawDestructor) => {
          structRegistrations[rawType] = { name: readLatin1String(name), rawConstructor: embind__requireFunction(constructorSignature, rawConstructor), rawDestructor: embind__requireFunction(destructorSignature, rawDestructor), fields: [] };
        };
        var __embind_register_value_object_field = (structType, fieldName, getterReturnType, getterSignature, getter, getterContext, setterArgumentType, setterSignature, setter, setterContext) => {
          structRegistrations[structType].fields.push({ fieldName: readLatin1String(fieldName), getterReturnType, getter: embind__requireFunction(getterSignature, getter), getterContext, setterArgumentType, setter: embind__requireFunction(setterSignature, setter), setterContext });
        };
        var __embind_register_void = (rawType, name) => {
          name = readLatin1String(name);
          registerType(rawType, { isVoid: true, name, argPackAdvance: 0, fromWireType: () => void 0, toWireType: (destructors, o) => void 0 });
        };
        var __emscripten_memcpy_js = (dest, src, num) => HEAPU8.copyWithin(dest, src, src + num);
        var __emscripten_throw_longjmp = () => {
          throw Infinity;
        };
        var emval_methodCallers = [];
        var __emval_call = (caller, handle, destructorsRef, args) => {
          caller = emval_methodCallers[caller];
          handle = Emval.toValue(handle);
          return caller(null, handle, destructorsRef, args);
        };
        var emval_symbols = {};
        var getStringOrSymbol = (address) => {
          var symbol = emval_symbols[address];
          if (symbol === void 0) {
            return readLatin1String(address);
          }
          return symbol;
        };
        var emval_get_global = () => {
          if (typeof globalThis == "object") {
            return globalThis;
          }
          function testGlobal(obj) {
            obj["$$$embind_global$$$"] = obj;
            var success = typeof $$$embind_global$$$ == "object" && obj["$$$embind_global$$$"] == obj;
            if (!success) {
              delete obj["$$$embind_global$$$"];
            }
            return success;
          }
          if (typeof $$$embind_global$$$ == "object") {
            return $$$embind_global$$$;
          }
          if (typeof global == "object" && testGlobal(global)) {
            $$$embind_global$$$ = global;
          } else if (typeof self == "object" && testGlobal(self)) {
            $$$embind_global$$$ = self;
          }
          if (typeof $$$embind_global$$$ == "object") {
            return $$$embind_global$$$;
          }
          throw Error("unable to get global object.");
        };
        var __emval_get_global = (name) => {
          if (name === 0) {
            return Emval.toHandle(emval_get_global());
          } else {
            name = getStringOrSymbol(name);
            return Emval.toHandle(emval_get_global()[name]);
          }
        };
        var emval_addMethodCaller = (caller) => {
          var id = emval_methodCallers.length;
          emval_methodCallers.push(caller);
          return id;
        };
        var requireRegisteredType = (rawType, humanName) => {
          var impl = registeredTypes[rawType];
          if (void 0 === impl) {
            throwBindingError(`${humanName} has unknown type ${getTypeName(rawType)}`);
          }
          return impl;
        };
        var emval_lookupTypes = (argCount, argTypes) => {
          var a = new Array(argCount);
          for (var i2 = 0; i2 < argCount; ++i2) {
            a[i2] = requireRegisteredType(HEAPU32[argTypes + i2 * 4 >> 2], "parameter " + i2);
          }
          return a;
        };
        var reflectConstruct = Reflect.construct;
        var emval_returnValue = (returnType, destructorsRef, handle) => {
          var destructors = [];
          var result = returnType["toWireType"](destructors, handle);
          if (destructors.length) {
            HEAPU32[destructorsRef >> 2] = Emval.toHandle(destructors);
          }
          return result;
        };
        var __emval_get_method_caller = (argCount, argTypes, kind) => {
          var types = emval_lookupTypes(argCount, argTypes);
          var retType = types.shift();
          argCount--;
          var argN = new Array(argCount);
          var invokerFunction = (obj, func, destructorsRef, args) => {
            var offset = 0;
            for (var i2 = 0; i2 < argCount; ++i2) {
              argN[i2] = types[i2]["readValueFromPointer"](args + offset);
              offset += types[i2].argPackAdvance;
            }
            var rv = kind === 1 ? reflectConstruct(func, argN) : func.apply(obj, argN);
            return emval_returnValue(retType, destructorsRef, rv);
          };
          var functionName = `methodCaller<(${types.map((t) => t.name).join(", ")}) => ${retType.name}>`;
          return emval_addMethodCaller(createNamedFunction(functionName, invokerFunction));
        };
        var __emval_run_destructors = (handle) => {
          var destructors = Emval.toValue(handle);
          runDestructors(destructors);
          __emval_decref(handle);
        };
        var __emval_take_value = (type, arg) => {
          type = requireRegisteredType(type, "_emval_take_value");
          var v = type["readValueFromPointer"](arg);
          return Emval.toHandle(v);
        };
        var getHeapMax = () => 2147483648;
        var alignMemory = (size, alignment) => Math.ceil(size / alignment) * alignment;
        var growMemory = (size) => {
          var b = wasmMemory.buffer;
          var pages = (size - b.byteLength + 65535) / 65536 | 0;
          try {
            wasmMemory.grow(pages);
            updateMemoryViews();
            return 1;
          } catch (e) {
          }
        };
        var _emscripten_resize_heap = (requestedSize) => {
          var oldSize = HEAPU8.length;
          requestedSize >>>= 0;
          var maxHeapSize = getHeapMax();
          if (requestedSize > maxHeapSize) {
            return false;
          }
          for (var cutDown = 1; cutDown <= 4; cutDown *= 2) {
            var overGrownHeapSize = oldSize * (1 + 0.2 / cutDown);
            overGrownHeapSize = Math.min(overGrownHeapSize, requestedSize + 100663296);
            var newSize = Math.min(maxHeapSize, alignMemory(Math.max(requestedSize, overGrownHeapSize), 65536));
            var replacement = growMemory(newSize);
            if (replacement) {
              return true;
            }
          }
          return false;
        };
        var ENV = {};
        var getExecutableName = () => thisProgram || "./this.program";
        var getEnvStrings = () => {
          if (!getEnvStrings.strings) {
            var lang = (typeof navigator == "object" && navigator.languages && navigator.languages[0] || "C").replace("-", "_") + ".UTF-8";
            var env = { USER: "web_user", LOGNAME: "web_user", PATH: "/", PWD: "/", HOME: "/home/web_user", LANG: lang, _: getExecutableName() };
            for (var x2 in ENV) {
              if (ENV[x2] === void 0) delete env[x2];
              else env[x2] = ENV[x2];
            }
            var strings = [];
            for (var x2 in env) {
              strings.push(`${x2}=${env[x2]}`);
            }
            getEnvStrings.strings = strings;
          }
          return getEnvStrings.strings;
        };
        var stringToAscii = (str, buffer) => {
          for (var i2 = 0; i2 < str.length; ++i2) {
            HEAP8[buffer++] = str.charCodeAt(i2);
          }
          HEAP8[buffer] = 0;
        };
        var _environ_get = (__environ, environ_buf) => {
          var bufSize = 0;
          getEnvStrings().forEach((string, i2) => {
            var ptr = environ_buf + bufSize;
            HEAPU32[__environ + i2 * 4 >> 2] = ptr;
            stringToAscii(string, ptr);
            bufSize += string.length + 1;
          });
          return 0;
        };
        var _environ_sizes_get = (penviron_count, penviron_buf_size) => {
          var strings = getEnvStrings();
          HEAPU32[penviron_count >> 2] = strings.length;
          var bufSize = 0;
          strings.forEach((string) => bufSize += string.length + 1);
          HEAPU32[penviron_buf_size >> 2] = bufSize;
          return 0;
        };
        var runtimeKeepaliveCounter = 0;
        var keepRuntimeAlive = () => noExitRuntime || runtimeKeepaliveCounter > 0;
        var _proc_exit = (code) => {
          EXITSTATUS = code;
          if (!keepRuntimeAlive()) {
            Module["onExit"]?.(code);
            ABORT = true;
          }
          quit_(code, new ExitStatus(code));
        };
        var exitJS = (status, implicit) => {
          EXITSTATUS = status;
          _proc_exit(status);
        };
        var _exit = exitJS;
        var _fd_close = (fd2) => 52;
        var convertI32PairToI53Checked = (lo, hi) => hi + 2097152 >>> 0 < 4194305 - !!lo ? (lo >>> 0) + hi * 4294967296 : NaN;
        function _fd_seek(fd2, offset_low, offset_high, whence, newOffset) {
          var offset = convertI32PairToI53Checked(offset_low, offset_high);
          return 70;
        }
        var printCharBuffers = [null, [], []];
        var printChar = (stream, curr) => {
          var buffer = printCharBuffers[stream];
          if (curr === 0 || curr === 10) {
            (stream === 1 ? out : err2)(UTF8ArrayToString(buffer));
            buffer.length = 0;
          } else {
            buffer.push(curr);
          }
        };
        var _fd_write = (fd2, iov, iovcnt, pnum) => {
          var num = 0;
          for (var i2 = 0; i2 < iovcnt; i2++) {
            var ptr = HEAPU32[iov >> 2];
            var len = HEAPU32[iov + 4 >> 2];
            iov += 8;
            for (var j = 0; j < len; j++) {
              printChar(fd2, HEAPU8[ptr + j]);
            }
            num += len;
          }
          HEAPU32[pnum >> 2] = num;
          return 0;
        };
        var getCFunc = (ident) => {
          var func = Module["_" + ident];
          return func;
        };
        var writeArrayToMemory = (array, buffer) => {
          HEAP8.set(array, buffer);
        };
        var stackAlloc = (sz) => __emscripten_stack_alloc(sz);
        var stringToUTF8OnStack = (str) => {
          var size = lengthBytesUTF8(str) + 1;
          var ret = stackAlloc(size);
          stringToUTF8(str, ret, size);
          return ret;
        };
        var ccall = (ident, returnType, argTypes, args, opts) => {
          var toC = { string: (str) => {
            var ret2 = 0;
            if (str !== null && str !== void 0 && str !== 0) {
              ret2 = stringToUTF8OnStack(str);
            }
            return ret2;
          }, array: (arr) => {
            var ret2 = stackAlloc(arr.length);
            writeArrayToMemory(arr, ret2);
            return ret2;
          } };
          function convertReturnValue(ret2) {
            if (returnType === "string") {
              return UTF8ToString(ret2);
            }
            if (returnType === "boolean") return Boolean(ret2);
            return ret2;
          }
          var func = getCFunc(ident);
          var cArgs = [];
          var stack = 0;
          if (args) {
            for (var i2 = 0; i2 < args.length; i2++) {
              var converter = toC[argTypes[i2]];
              if (converter) {
                if (stack === 0) stack = stackSave();
                cArgs[i2] = converter(args[i2]);
              } else {
                cArgs[i2] = args[i2];
              }
            }
          }
          var ret = func(...cArgs);
          function onDone(ret2) {
            if (stack !== 0) stackRestore(stack);
            return convertReturnValue(ret2);
          }
          ret = onDone(ret);
          return ret;
        };
        InternalError = Module["InternalError"] = class InternalError extends Error {
          constructor(message) {
            super(message);
            this.name = "InternalError";
          }
        };
        embind_init_charCodes();
        BindingError = Module["BindingError"] = class BindingError extends Error {
          constructor(message) {
            super(message);
            this.name = "BindingError";
          }
        };
        init_ClassHandle();
        init_RegisteredPointer();
        UnboundTypeError = Module["UnboundTypeError"] = extendError(Error, "UnboundTypeError");
        init_emval();
        var wasmImports = { i: ___cxa_throw, v: __abort_js, s: __embind_finalize_value_object, u: __embind_register_bigint, H: __embind_register_bool, r: __embind_register_class, q: __embind_register_class_constructor, f: __embind_register_class_function, F: __embind_register_emval, n: __embind_register_float, c: __embind_register_integer, b: __embind_register_memory_view, G: __embind_register_std_string, k: __embind_register_std_wstring, E: __embind_register_value_object, g: __embind_register_value_object_field, I: __embind_register_void, B: __emscripten_memcpy_js, w: __emscripten_throw_longjmp, K: __emval_call, L: __emval_decref, M: __emval_get_global, o: __emval_get_method_caller, J: __emval_run_destructors, p: __emval_take_value, x: _emscripten_resize_heap, y: _environ_get, z: _environ_sizes_get, D: _exit, A: _fd_close, t: _fd_seek, l: _fd_write, m: invoke_ii, e: invoke_iii, j: invoke_iiii, a: invoke_iiiii, C: invoke_iiiiiii, h: invoke_vi, d: invoke_viii };
        var wasmExports;
        createWasm();
        var ___wasm_call_ctors = () => (___wasm_call_ctors = wasmExports["O"])();
        var ___getTypeName = (a0) => (___getTypeName = wasmExports["P"])(a0);
        var _free = (a0) => (_free = wasmExports["R"])(a0);
        var _malloc = (a0) => (_malloc = wasmExports["S"])(a0);
        var _setThrew = (a0, a1) => (_setThrew = wasmExports["T"])(a0, a1);
        var __emscripten_stack_restore = (a0) => (__emscripten_stack_restore = wasmExports["U"])(a0);
        var __emscripten_stack_alloc = (a0) => (__emscripten_stack_alloc = wasmExports["V"])(a0);
        var _emscripten_stack_get_current = () => (_emscripten_stack_get_current = wasmExports["W"])();
        var dynCall_jiji = Module["dynCall_jiji"] = (a0, a1, a2, a3, a4) => (dynCall_jiji = Module["dynCall_jiji"] = wasmExports["X"])(a0, a1, a2, a3, a4);
        function invoke_ii(index, a1) {
          var sp = stackSave();
          try {
            return getWasmTableEntry(index)(a1);
          } catch (e) {
            stackRestore(sp);
            if (e !== e + 0) throw e;
            _setThrew(1, 0);
          }
        }
        function invoke_viii(index, a1, a2, a3) {
          var sp = stackSave();
          try {
            getWasmTableEntry(index)(a1, a2, a3);
          } catch (e) {
            stackRestore(sp);
            if (e !== e + 0) throw e;
            _setThrew(1, 0);
          }
        }
        function invoke_vi(index, a1) {
          var sp = stackSave();
          try {
            getWasmTableEntry(index)(a1);
          } catch (e) {
            stackRestore(sp);
            if (e !== e + 0) throw e;
            _setThrew(1, 0);
          }
        }
        function invoke_iiiii(index, a1, a2, a3, a4) {
          var sp = stackSave();
          try {
            return getWasmTableEntry(index)(a1, a2, a3, a4);
          } catch (e) {
            stackRestore(sp);
            if (e !== e + 0) throw e;
            _setThrew(1, 0);
          }
        }
        function invoke_iiii(index, a1, a2, a3) {
          var sp = stackSave();
          try {
            return getWasmTableEntry(index)(a1, a2, a3);
          } catch (e) {
            stackRestore(sp);
            if (e !== e + 0) throw e;
            _setThrew(1, 0);
          }
        }
        function invoke_iii(index, a1, a2) {
          var sp = stackSave();
          try {
            return getWasmTableEntry(index)(a1, a2);
          } catch (e) {
            stackRestore(sp);
            if (e !== e + 0) throw e;
            _setThrew(1, 0);
          }
        }
        function invoke_iiiiiii(index, a1, a2, a3, a4, a5, a6) {
          var sp = stackSave();
          try {
            return getWasmTableEntry(index)(a1, a2, a3, a4, a5, a6);
          } catch (e) {
            stackRestore(sp);
            if (e !== e + 0) throw e;
            _setThrew(1, 0);
          }
        }
        Module["ccall"] = ccall;
        var calledRun;
        dependenciesFulfilled = function runCaller() {
          if (!calledRun) run();
          if (!calledRun) dependenciesFulfilled = runCaller;
        };
        function run() {
          if (runDependencies > 0) {
            return;
          }
          preRun();
          if (runDependencies > 0) {
            return;
          }
          function doRun() {
            if (calledRun) return;
            calledRun = true;
            Module["calledRun"] = true;
            if (ABORT) return;
            initRuntime();
            readyPromiseResolve(Module);
            Module["onRuntimeInitialized"]?.();
            postRun();
          }
          if (Module["setStatus"]) {
            Module["setStatus"]("Running...");
            setTimeout(() => {
              setTimeout(() => Module["setStatus"](""), 1);
              doRun();
            }, 1);
          } else {
            doRun();
          }
        }
        if (Module["preInit"]) {
          if (typeof Module["preInit"] == "function") Module["preInit"] = [Module["preInit"]];
          while (Module["preInit"].length > 0) {
            Module["preInit"].pop()();
          }
        }
        run();
        moduleRtn = readyPromise;
        return moduleRtn;
      });
    })();
    if (typeof exports2 === "object" && typeof module2 === "object") {
      module2.exports = libjpegturbowasm_decode;
      module2.exports.default = libjpegturbowasm_decode;
    } else if (typeof define === "function" && define["amd"])
      define([], () => libjpegturbowasm_decode);
  }
});

// src/index.ts
init_define_WASM();

// src/engine.ts
init_define_WASM();

// node_modules/fflate/esm/browser.js
init_define_WASM();
var u8 = Uint8Array;
var u16 = Uint16Array;
var i32 = Int32Array;
var fleb = new u8([
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  0,
  1,
  1,
  1,
  1,
  2,
  2,
  2,
  2,
  3,
  3,
  3,
  3,
  4,
  4,
  4,
  4,
  5,
  5,
  5,
  5,
  0,
  /* unused */
  0,
  0,
  /* impossible */
  0
]);
var fdeb = new u8([
  0,
  0,
  0,
  0,
  1,
  1,
  2,
  2,
  3,
  3,
  4,
  4,
  5,
  5,
  6,
  6,
  7,
  7,
  8,
  8,
  9,
  9,
  10,
  10,
  11,
  11,
  12,
  12,
  13,
  13,
  /* unused */
  0,
  0
]);
var clim = new u8([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);
var freb = function(eb, start2) {
  var b = new u16(31);
  for (var i2 = 0; i2 < 31; ++i2) {
    b[i2] = start2 += 1 << eb[i2 - 1];
  }
  var r = new i32(b[30]);
  for (var i2 = 1; i2 < 30; ++i2) {
    for (var j = b[i2]; j < b[i2 + 1]; ++j) {
      r[j] = j - b[i2] << 5 | i2;
    }
  }
  return { b, r };
};
var _a = freb(fleb, 2);
var fl = _a.b;
var revfl = _a.r;
fl[28] = 258, revfl[258] = 28;
var _b = freb(fdeb, 0);
var fd = _b.b;
var revfd = _b.r;
var rev = new u16(32768);
for (i = 0; i < 32768; ++i) {
  x = (i & 43690) >> 1 | (i & 21845) << 1;
  x = (x & 52428) >> 2 | (x & 13107) << 2;
  x = (x & 61680) >> 4 | (x & 3855) << 4;
  rev[i] = ((x & 65280) >> 8 | (x & 255) << 8) >> 1;
}
var x;
var i;
var hMap = (function(cd, mb, r) {
  var s = cd.length;
  var i2 = 0;
  var l = new u16(mb);
  for (; i2 < s; ++i2) {
    if (cd[i2])
      ++l[cd[i2] - 1];
  }
  var le = new u16(mb);
  for (i2 = 1; i2 < mb; ++i2) {
    le[i2] = le[i2 - 1] + l[i2 - 1] << 1;
  }
  var co;
  if (r) {
    co = new u16(1 << mb);
    var rvb = 15 - mb;
    for (i2 = 0; i2 < s; ++i2) {
      if (cd[i2]) {
        var sv = i2 << 4 | cd[i2];
        var r_1 = mb - cd[i2];
        var v = le[cd[i2] - 1]++ << r_1;
        for (var m = v | (1 << r_1) - 1; v <= m; ++v) {
          co[rev[v] >> rvb] = sv;
        }
      }
    }
  } else {
    co = new u16(s);
    for (i2 = 0; i2 < s; ++i2) {
      if (cd[i2]) {
        co[i2] = rev[le[cd[i2] - 1]++] >> 15 - cd[i2];
      }
    }
  }
  return co;
});
var flt = new u8(288);
for (i = 0; i < 144; ++i)
  flt[i] = 8;
var i;
for (i = 144; i < 256; ++i)
  flt[i] = 9;
var i;
for (i = 256; i < 280; ++i)
  flt[i] = 7;
var i;
for (i = 280; i < 288; ++i)
  flt[i] = 8;
var i;
var fdt = new u8(32);
for (i = 0; i < 32; ++i)
  fdt[i] = 5;
var i;
var flrm = /* @__PURE__ */ hMap(flt, 9, 1);
var fdrm = /* @__PURE__ */ hMap(fdt, 5, 1);
var max = function(a) {
  var m = a[0];
  for (var i2 = 1; i2 < a.length; ++i2) {
    if (a[i2] > m)
      m = a[i2];
  }
  return m;
};
var bits = function(d, p, m) {
  var o = p / 8 | 0;
  return (d[o] | d[o + 1] << 8) >> (p & 7) & m;
};
var bits16 = function(d, p) {
  var o = p / 8 | 0;
  return (d[o] | d[o + 1] << 8 | d[o + 2] << 16) >> (p & 7);
};
var shft = function(p) {
  return (p + 7) / 8 | 0;
};
var slc = function(v, s, e) {
  if (s == null || s < 0)
    s = 0;
  if (e == null || e > v.length)
    e = v.length;
  return new u8(v.subarray(s, e));
};
var ec = [
  "unexpected EOF",
  "invalid block type",
  "invalid length/literal",
  "invalid distance",
  "stream finished",
  "no stream handler",
  ,
  // determined by compression function
  "no callback",
  "invalid UTF-8 data",
  "extra field too long",
  "date not in range 1980-2099",
  "filename too long",
  "stream finishing",
  "invalid zip data"
  // determined by unknown compression method
];
var err = function(ind, msg, nt) {
  var e = new Error(msg || ec[ind]);
  e.code = ind;
  if (Error.captureStackTrace)
    Error.captureStackTrace(e, err);
  if (!nt)
    throw e;
  return e;
};
var inflt = function(dat, st, buf, dict) {
  var sl = dat.length, dl = dict ? dict.length : 0;
  if (!sl || st.f && !st.l)
    return buf || new u8(0);
  var noBuf = !buf;
  var resize2 = noBuf || st.i != 2;
  var noSt = st.i;
  if (noBuf)
    buf = new u8(sl * 3);
  var cbuf = function(l2) {
    var bl = buf.length;
    if (l2 > bl) {
      var nbuf = new u8(Math.max(bl * 2, l2));
      nbuf.set(buf);
      buf = nbuf;
    }
  };
  var final = st.f || 0, pos = st.p || 0, bt = st.b || 0, lm = st.l, dm = st.d, lbt = st.m, dbt = st.n;
  var tbts = sl * 8;
  do {
    if (!lm) {
      final = bits(dat, pos, 1);
      var type = bits(dat, pos + 1, 3);
      pos += 3;
      if (!type) {
        var s = shft(pos) + 4, l = dat[s - 4] | dat[s - 3] << 8, t = s + l;
        if (t > sl) {
          if (noSt)
            err(0);
          break;
        }
        if (resize2)
          cbuf(bt + l);
        buf.set(dat.subarray(s, t), bt);
        st.b = bt += l, st.p = pos = t * 8, st.f = final;
        continue;
      } else if (type == 1)
        lm = flrm, dm = fdrm, lbt = 9, dbt = 5;
      else if (type == 2) {
        var hLit = bits(dat, pos, 31) + 257, hcLen = bits(dat, pos + 10, 15) + 4;
        var tl = hLit + bits(dat, pos + 5, 31) + 1;
        pos += 14;
        var ldt = new u8(tl);
        var clt = new u8(19);
        for (var i2 = 0; i2 < hcLen; ++i2) {
          clt[clim[i2]] = bits(dat, pos + i2 * 3, 7);
        }
        pos += hcLen * 3;
        var clb = max(clt), clbmsk = (1 << clb) - 1;
        var clm = hMap(clt, clb, 1);
        for (var i2 = 0; i2 < tl; ) {
          var r = clm[bits(dat, pos, clbmsk)];
          pos += r & 15;
          var s = r >> 4;
          if (s < 16) {
            ldt[i2++] = s;
          } else {
            var c = 0, n = 0;
            if (s == 16)
              n = 3 + bits(dat, pos, 3), pos += 2, c = ldt[i2 - 1];
            else if (s == 17)
              n = 3 + bits(dat, pos, 7), pos += 3;
            else if (s == 18)
              n = 11 + bits(dat, pos, 127), pos += 7;
            while (n--)
              ldt[i2++] = c;
          }
        }
        var lt = ldt.subarray(0, hLit), dt = ldt.subarray(hLit);
        lbt = max(lt);
        dbt = max(dt);
        lm = hMap(lt, lbt, 1);
        dm = hMap(dt, dbt, 1);
      } else
        err(1);
      if (pos > tbts) {
        if (noSt)
          err(0);
        break;
      }
    }
    if (resize2)
      cbuf(bt + 131072);
    var lms = (1 << lbt) - 1, dms = (1 << dbt) - 1;
    var lpos = pos;
    for (; ; lpos = pos) {
      var c = lm[bits16(dat, pos) & lms], sym = c >> 4;
      pos += c & 15;
      if (pos > tbts) {
        if (noSt)
          err(0);
        break;
      }
      if (!c)
        err(2);
      if (sym < 256)
        buf[bt++] = sym;
      else if (sym == 256) {
        lpos = pos, lm = null;
        break;
      } else {
        var add = sym - 254;
        if (sym > 264) {
          var i2 = sym - 257, b = fleb[i2];
          add = bits(dat, pos, (1 << b) - 1) + fl[i2];
          pos += b;
        }
        var d = dm[bits16(dat, pos) & dms], dsym = d >> 4;
        if (!d)
          err(3);
        pos += d & 15;
        var dt = fd[dsym];
        if (dsym > 3) {
          var b = fdeb[dsym];
          dt += bits16(dat, pos) & (1 << b) - 1, pos += b;
        }
        if (pos > tbts) {
          if (noSt)
            err(0);
          break;
        }
        if (resize2)
          cbuf(bt + 131072);
        var end = bt + add;
        if (bt < dt) {
          var shift = dl - dt, dend = Math.min(dt, end);
          if (shift + bt < 0)
            err(3);
          for (; bt < dend; ++bt)
            buf[bt] = dict[shift + bt];
        }
        for (; bt < end; ++bt)
          buf[bt] = buf[bt - dt];
      }
    }
    st.l = lm, st.p = lpos, st.b = bt, st.f = final;
    if (lm)
      final = 1, st.m = lbt, st.d = dm, st.n = dbt;
  } while (!final);
  return bt != buf.length && noBuf ? slc(buf, 0, bt) : buf.subarray(0, bt);
};
var et = /* @__PURE__ */ new u8(0);
var b2 = function(d, b) {
  return d[b] | d[b + 1] << 8;
};
var b4 = function(d, b) {
  return (d[b] | d[b + 1] << 8 | d[b + 2] << 16 | d[b + 3] << 24) >>> 0;
};
var b8 = function(d, b) {
  return b4(d, b) + b4(d, b + 4) * 4294967296;
};
var Inflate = /* @__PURE__ */ (function() {
  function Inflate2(opts, cb) {
    if (typeof opts == "function")
      cb = opts, opts = {};
    this.ondata = cb;
    var dict = opts && opts.dictionary && opts.dictionary.subarray(-32768);
    this.s = { i: 0, b: dict ? dict.length : 0 };
    this.o = new u8(32768);
    this.p = new u8(0);
    if (dict)
      this.o.set(dict);
  }
  Inflate2.prototype.e = function(c) {
    if (!this.ondata)
      err(5);
    if (this.d)
      err(4);
    if (!this.p.length)
      this.p = c;
    else if (c.length) {
      var n = new u8(this.p.length + c.length);
      n.set(this.p), n.set(c, this.p.length), this.p = n;
    }
  };
  Inflate2.prototype.c = function(final) {
    this.s.i = +(this.d = final || false);
    var bts = this.s.b;
    var dt = inflt(this.p, this.s, this.o);
    this.ondata(slc(dt, bts, this.s.b), this.d);
    this.o = slc(dt, this.s.b - 32768), this.s.b = this.o.length;
    this.p = slc(this.p, this.s.p / 8 | 0), this.s.p &= 7;
  };
  Inflate2.prototype.push = function(chunk, final) {
    this.e(chunk), this.c(final);
  };
  return Inflate2;
})();
function inflateSync(data, opts) {
  return inflt(data, { i: 2 }, opts && opts.out, opts && opts.dictionary);
}
var td = typeof TextDecoder != "undefined" && /* @__PURE__ */ new TextDecoder();
var tds = 0;
try {
  td.decode(et, { stream: true });
  tds = 1;
} catch (e) {
}
var dutf8 = function(d) {
  for (var r = "", i2 = 0; ; ) {
    var c = d[i2++];
    var eb = (c > 127) + (c > 223) + (c > 239);
    if (i2 + eb > d.length)
      return { s: r, r: slc(d, i2 - 1) };
    if (!eb)
      r += String.fromCharCode(c);
    else if (eb == 3) {
      c = ((c & 15) << 18 | (d[i2++] & 63) << 12 | (d[i2++] & 63) << 6 | d[i2++] & 63) - 65536, r += String.fromCharCode(55296 | c >> 10, 56320 | c & 1023);
    } else if (eb & 1)
      r += String.fromCharCode((c & 31) << 6 | d[i2++] & 63);
    else
      r += String.fromCharCode((c & 15) << 12 | (d[i2++] & 63) << 6 | d[i2++] & 63);
  }
};
function strFromU8(dat, latin1) {
  if (latin1) {
    var r = "";
    for (var i2 = 0; i2 < dat.length; i2 += 16384)
      r += String.fromCharCode.apply(null, dat.subarray(i2, i2 + 16384));
    return r;
  } else if (td) {
    return td.decode(dat);
  } else {
    var _a2 = dutf8(dat), s = _a2.s, r = _a2.r;
    if (r.length)
      err(8);
    return s;
  }
}
var slzh = function(d, b) {
  return b + 30 + b2(d, b + 26) + b2(d, b + 28);
};
var zh = function(d, b, z) {
  var fnl = b2(d, b + 28), efl = b2(d, b + 30), fn = strFromU8(d.subarray(b + 46, b + 46 + fnl), !(b2(d, b + 8) & 2048)), es = b + 46 + fnl;
  var _a2 = z64hs(d, es, efl, z, b4(d, b + 20), b4(d, b + 24), b4(d, b + 42)), sc = _a2[0], su = _a2[1], off = _a2[2];
  return [b2(d, b + 10), sc, su, fn, es + efl + b2(d, b + 32), off];
};
var z64hs = function(d, b, l, z, sc, su, off) {
  var nsc = sc == 4294967295, nsu = su == 4294967295, noff = off == 4294967295, e = b + l;
  var nf = nsc + nsu + noff;
  if (z && nf) {
    for (; b + 4 < e; b += 4 + b2(d, b + 2)) {
      if (b2(d, b) == 1) {
        return [
          nsc ? b8(d, b + 4 + 8 * nsu) : sc,
          nsu ? b8(d, b + 4) : su,
          noff ? b8(d, b + 4 + 8 * (nsu + nsc)) : off,
          1
        ];
      }
    }
    if (z < 2)
      err(13);
  }
  return [sc, su, off, 0];
};
function unzipSync(data, opts) {
  var files = {};
  var e = data.length - 22;
  for (; b4(data, e) != 101010256; --e) {
    if (!e || data.length - e > 65558)
      err(13);
  }
  ;
  var c = b2(data, e + 8);
  if (!c)
    return {};
  var o = b4(data, e + 16);
  var z = b4(data, e - 20) == 117853008;
  if (z) {
    var ze = b4(data, e - 12);
    z = b4(data, ze) == 101075792;
    if (z) {
      c = b4(data, ze + 32);
      o = b4(data, ze + 48);
    }
  }
  var fltr = opts && opts.filter;
  for (var i2 = 0; i2 < c; ++i2) {
    var _a2 = zh(data, o, z), c_2 = _a2[0], sc = _a2[1], su = _a2[2], fn = _a2[3], no = _a2[4], off = _a2[5], b = slzh(data, off);
    o = no;
    if (!fltr || fltr({
      name: fn,
      size: sc,
      originalSize: su,
      compression: c_2
    })) {
      if (!c_2)
        files[fn] = slc(data, b, b + sc);
      else if (c_2 == 8)
        files[fn] = inflateSync(data.subarray(b, b + sc), { out: new u8(su) });
      else
        err(14, "unknown compression type " + c_2);
    }
  }
  return files;
}

// src/answer.ts
init_define_WASM();

// src/numbers.ts
init_define_WASM();
function rint(value) {
  const floor = Math.floor(value);
  const apart = value - floor;
  if (apart < 0.5) return floor;
  if (apart > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
function pyRound(value, digits) {
  const exact = value.toFixed(Math.min(100, digits + 60));
  const tail = exact.slice(exact.indexOf(".") + 1 + digits);
  const rounded = Number(value.toFixed(digits));
  if (!/^50*$/.test(tail)) return rounded;
  const kept = exact.slice(0, exact.indexOf(".") + 1 + digits);
  const last = Number(kept.replace(".", "").slice(-1));
  return last % 2 === 0 ? Number(kept) : rounded;
}
var clamp = (value, low, high) => Math.min(high, Math.max(low, value));
function searchSorted(values, wanted, side = "left") {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (side === "left" ? values[middle] < wanted : values[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
function cumulative(counts) {
  const sums = new Float64Array(counts.length);
  let sum = 0;
  for (let at = 0; at < counts.length; at++) sums[at] = sum += counts[at];
  return sums;
}
function countBytes(pixels) {
  const counts = new Float64Array(256);
  for (let at = 0; at < pixels.length; at++) counts[pixels[at]]++;
  return counts;
}
function quantile(sorted, n, share) {
  const place = share * (n - 1);
  const below = Math.floor(place);
  const [low, high] = [sorted(below), sorted(Math.min(n - 1, below + 1))];
  const part = place - below;
  return part >= 0.5 ? high - (high - low) * (1 - part) : low + (high - low) * part;
}
function meanOf(values) {
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += values[at];
  return sum / values.length;
}
function deviationOf(values) {
  const mean = meanOf(values);
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += (values[at] - mean) ** 2;
  return Math.sqrt(sum / values.length);
}
function unpacked({ dtype, base64 }) {
  const bytes2 = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const view = new DataView(bytes2.buffer);
  const size = dtype === "float32" ? 4 : 8;
  return Float64Array.from(
    { length: bytes2.length / size },
    (_, at) => dtype === "float32" ? view.getFloat32(size * at, true) : view.getFloat64(size * at, true)
  );
}
var hex = (bytes2) => Array.from(new Uint8Array(bytes2), (byte) => byte.toString(16).padStart(2, "0")).join("");
async function sha256(bytes2) {
  return hex(await crypto.subtle.digest("SHA-256", bytes2));
}

// src/answer.ts
var STRONG = 0.5;
var ONE_SIDED = 2 / 3;
var ZONES = ["upper", "middle", "lower"];
var CELLS = 7;
var marginOf = ({ logits }) => Math.fround(logits[1] - logits[0]);
function answerOf(outputs, grey, rules, limits) {
  const margin = marginOf(outputs);
  const decision = decide(margin, rules);
  const [side, zone] = locate(outputs.evidence, filmBox(grey));
  const map = Array.from({ length: CELLS }, (_, row) => Array.from(outputs.evidence.subarray(row * CELLS, (row + 1) * CELLS)));
  return {
    status: "ok",
    reason: null,
    probability: pyRound(probabilityOf(margin, rules), 4),
    margin,
    score: scoreOf(margin, rules),
    threshold: rules.threshold,
    threshold_score: rules.threshold_score,
    indeterminate_band: rules.indeterminate_band,
    decision,
    decision_words: rules.decision_words[decision],
    evidence: { map, side, zone, href: null },
    calibration: rules.calibration,
    model: rules.model,
    limits
  };
}
function rejection(reason, explanation, rules, limits) {
  return {
    status: "rejected",
    reason,
    explanation,
    probability: null,
    margin: null,
    score: null,
    threshold: null,
    threshold_score: null,
    indeterminate_band: null,
    decision: null,
    decision_words: null,
    evidence: null,
    calibration: rules.calibration,
    model: rules.model,
    limits
  };
}
var isPositive = (margin, { threshold }) => margin >= Math.fround(threshold);
function decide(margin, rules) {
  if (rules.indeterminate_band && Math.abs(margin - rules.threshold) <= rules.indeterminate_band) return "indeterminate";
  return isPositive(margin, rules) ? "refer" : "not_flagged";
}
function probabilityOf(margin, { calibration: { slope, offset } }) {
  const exponent = Math.min(700, Math.max(-700, -(slope * margin + offset)));
  return 1 / (1 + Math.exp(exponent));
}
function scoreOf(margin, rules) {
  const { score_digits: digits, threshold_score: cutoff } = rules;
  const rounded = pyRound(100 * probabilityOf(margin, rules), digits);
  if (isPositive(margin, rules)) return Math.max(rounded, cutoff);
  return Math.min(rounded, pyRound(cutoff - Number(`1e-${digits}`), digits));
}
function filmBox({ width, height }) {
  const side = Math.max(width, height);
  const [left, top] = [side - width >> 1, side - height >> 1];
  return { left: left / side, top: top / side, right: (left + width) / side, bottom: (top + height) / side };
}
function locate(evidence, { left, top, right, bottom }) {
  const places = Array.from({ length: CELLS }, (_, at) => (at + 0.5) / CELLS);
  const y = places.map((place) => (place - top) / (bottom - top));
  const x2 = places.map((place) => (place - left) / (right - left));
  const inside = (row, column) => y[row] > 0 && y[row] < 1 && x2[column] > 0 && x2[column] < 1;
  const weights = evidence.map((value, at) => inside(Math.floor(at / CELLS), at % CELLS) ? value : 0);
  const bound = Math.fround(STRONG * Math.max(...weights));
  const strong = weights.map((value) => value >= bound ? Math.max(value, 0) : 0);
  if (!strong.some((value) => value !== 0)) return [null, null];
  const columns = new Float32Array(CELLS);
  const rows2 = new Float32Array(CELLS);
  strong.forEach((value, at) => {
    columns[at % CELLS] += value;
    rows2[Math.floor(at / CELLS)] += value;
  });
  return [sideOf(columns, x2), zoneOf(rows2, y)];
}
function sideOf(weights, x2) {
  let onLeft = 0;
  const total = new Float32Array(1);
  weights.forEach((weight, at) => {
    const middle = Math.abs(x2[at] - 0.5) <= 1e-8 + 1e-5 * 0.5;
    onLeft += weight * (middle ? 0.5 : Number(x2[at] < 0.5));
    total[0] += weight;
  });
  const share = onLeft / total[0];
  return share >= ONE_SIDED ? "right" : share <= 1 - ONE_SIDED ? "left" : "both";
}
function zoneOf(weights, y) {
  const sums = ZONES.map(() => 0);
  weights.forEach((weight, at) => {
    sums[Math.min(ZONES.length - 1, Math.max(0, Math.trunc(y[at] * ZONES.length)))] += weight;
  });
  return ZONES[sums.indexOf(Math.max(...sums))];
}

// src/errors.ts
init_define_WASM();
var EngineError = class extends Error {
  kind;
  what;
  why;
  fix;
  status;
  // of the server's answer; null where none was asked
  retryAfter;
  // seconds
  constructor(kind, what, { why, fix, status = null, retryAfter = null, cause }) {
    super(`${what} (${why}). ${fix}`, { cause });
    this.name = "EngineError";
    this.kind = kind;
    this.what = what;
    this.why = why;
    this.fix = fix;
    this.status = status;
    this.retryAfter = retryAfter;
  }
};
function filmError(what, why, fix) {
  return new EngineError("film", what, { why, fix });
}
var damaged = (why) => filmError("the film is damaged", why, "Export or download the film again.");
var SERVER_READS = "Screen it with `tbconv predict` or at a tbconv server, or export it as a grey PNG.";
var notReadHere = (what, why) => filmError(what, why, SERVER_READS);
var tooClose = (what) => filmError(
  "the film cannot be answered in a browser",
  `${what} lies so near to its boundary that rounding alone decides`,
  SERVER_READS
);
var WRITE_AGAIN = "Reload the page, for an old copy may be in the browser's cache; if it stays, write the folder again: tbconv page BUNDLE --out SITE";
function proofError(what, why, fix = WRITE_AGAIN) {
  return new EngineError("proof", what, { why, fix });
}

// src/film/open.ts
init_define_WASM();

// src/film/colour.ts
init_define_WASM();

// src/film/grey.ts
init_define_WASM();
var LOW = 5e-3;
var HIGH = 5e-3;
var USUAL_WHITE = 222 / 255;
var FILLED = 0.7;
var FILLED_COVERED = 0.62;
var BEYOND = 1.03;
var OFFSET = [0.1, 0.25];
var BRIGHT = [0.75, 0.95];
var LIFT = 0.17;
var OFFSET_COVERED = [0.4, 0.55];
var LEAST_DEPTH = 8;
var [MARKER, MARKER_GAP] = [0.15, 0.03];
var [PADDING, PADDING_GAP] = [0.6, 0.5];
var STRAY = 1e-4;
var LEAST_PIXELS = 1e3;
var ROUNDING = 1e-9;
function levelOf({ black, white }, value) {
  return clamp((value - black) * (255 / (white - black)), 0, 255);
}
function toBytes(levels, inexact) {
  const bytes2 = new Uint8Array(levels.length);
  for (let at = 0; at < levels.length; at++) {
    const level = levels[at];
    const atHalf = Math.abs(level - Math.floor(level) - 0.5) < ROUNDING;
    if (inexact && atHalf && level !== 127.5) throw tooClose("a grey level");
    bytes2[at] = rint(level);
  }
  return bytes2;
}
function estimateScale({ values, counts }, { depth, signed = false, inverted = false, covered = false }) {
  const full = 2 ** (depth - (signed ? 1 : 0)) - 1;
  const least = signed ? -full - 1 : 0;
  if (depth <= LEAST_DEPTH || !values.length) {
    const [black2, white2] = inverted ? [full, least] : [least, full];
    return { black: black2, white: white2, stated: true, inexact: false };
  }
  const [low, high, padded] = robustEnds(values, counts, inverted);
  const way = { offset: covered || padded ? OFFSET_COVERED : OFFSET, inexact: false };
  const ends = signed ? signedEnds(low, high, full, way, inverted) : turnedEnds(low, high, full, way, inverted);
  const stated = ends[0] === least && ends[1] === full;
  let [black, white] = inverted ? [ends[1], ends[0]] : ends;
  if (Math.abs(white - black) < 1) white = black + 1;
  return { black, white, stated, inexact: way.inexact };
}
function robustEnds(values, counts, inverted) {
  if (inverted) [values, counts] = mirrored(values, counts);
  let keep = body(values, counts, MARKER, MARKER_GAP);
  [values, counts] = [values.slice(0, keep), counts.slice(0, keep)];
  keep = body(...mirrored(values, counts), PADDING, PADDING_GAP);
  const padded = keep < values.length;
  [values, counts] = [values.slice(-keep), counts.slice(-keep)];
  const below = cumulative(counts);
  const total = below[below.length - 1];
  const [low, high] = [LOW, 1 - HIGH].map((share) => values[searchSorted(below, share * total)]);
  return inverted ? [-high, -low, padded] : [low, high, padded];
}
var mirrored = (values, counts) => [
  values.map((value) => -value).reverse(),
  counts.slice().reverse()
];
function body(values, counts, share, gap) {
  const below = cumulative(counts);
  const total = below[below.length - 1];
  if (total < LEAST_PIXELS) return values.length;
  const start2 = searchSorted(below, (1 - share) * total);
  const low = values[searchSorted(below, LOW * total)];
  for (let at = start2; at < values.length; at++) {
    const end = Math.min(searchSorted(below, below[at] + STRAY * total, "right"), values.length - 1);
    const wide = values[end] - values[at] > gap * Math.max(values[at] - low, 1);
    if (wide && total - below[at] > STRAY * total) return at + 1;
  }
  return values.length;
}
function turnedEnds(low, high, full, way, inverted) {
  if (!inverted) return endsIn(low, high, full, way);
  const ceiling = depthFilled(high, full, way, filledOf(way.offset));
  const [black, white] = endsIn(ceiling - high, ceiling - low, ceiling, way);
  return [ceiling - white, ceiling - black];
}
function endsIn(low, high, full, way = { offset: OFFSET, inexact: false }) {
  const white = depthFilled(high, full, way, filledOf(way.offset));
  const lifted = offsetOf(low / white, high / white, way.offset);
  const black = lifted * low;
  const usual = black + (high - black) / USUAL_WHITE;
  return [black, (1 - lifted) * white + lifted * usual];
}
function signedEnds(low, high, full, way, inverted) {
  if (low >= 0) return turnedEnds(low, high, full, way, inverted);
  const filled = filledOf(way.offset);
  const white = depthFilled(Math.max(-low, high), full, way, filled);
  const [dark, bright] = inverted ? [-high - 1, -low - 1] : [low, high];
  const [below, above] = [dark, bright].map((end) => (end / white + 1) / 2);
  const part = Math.max(offsetOf(below, above, way.offset), 1 - shareOf(above, [filled - 0.15, filled]));
  const stretched = dark + (bright - dark) / USUAL_WHITE;
  const ends = [(1 - part) * (-white - 1) + part * dark, (1 - part) * white + part * stretched];
  const both = inverted ? [-ends[1] - 1, -ends[0] - 1] : ends;
  const off = shareOf(-low / Math.max(high, 1), [0, 0.1]);
  const positive = turnedEnds(0, Math.max(high, 1), full, way, inverted);
  return [(1 - off) * positive[0] + off * both[0], (1 - off) * positive[1] + off * both[1]];
}
function depthFilled(high, full, way, filled) {
  let bits2 = LEAST_DEPTH;
  const least = 2 ** LEAST_DEPTH - 1;
  let last = 2 ** bits2 - 1;
  while (last < full && high > BEYOND * last) {
    const following = 2 ** (bits2 + 1) - 1;
    if (high < filled * following) {
      way.inexact = true;
      const between = Math.log(high / (BEYOND * last)) / Math.log(filled * following / (BEYOND * last));
      return Math.min(full, last * (following / last) ** between);
    }
    bits2 += 1;
    last = 2 ** bits2 - 1;
  }
  return Math.min(Math.max(last, least), full);
}
function offsetOf(low, high, offset) {
  const lift = offset === OFFSET ? LIFT * shareOf(high, BRIGHT) : 0;
  return shareOf(low, [offset[0] + lift, offset[1] + lift]);
}
var filledOf = (offset) => offset === OFFSET ? FILLED : FILLED_COVERED;
var shareOf = (value, ends) => Math.min(1, Math.max(0, (value - ends[0]) / (ends[1] - ends[0])));
function occurring(counts) {
  const found = { values: [], counts: [] };
  for (let value = 0; value < counts.length; value++) {
    if (counts[value]) {
      found.values.push(value);
      found.counts.push(counts[value]);
    }
  }
  return found;
}

// src/film/colour.ts
var THUMBNAIL = 64;
var GREY_CHROMA = 3;
var MOST_LEFT = 5;
var [FULL, SATURATED] = [254, 0.01];
var CLOSE = 1e-6;
function greyOf(picture) {
  const pixels = luma(picture);
  const { chroma, levels } = judge(small(picture.indexed ? withoutAlpha(picture) : picture));
  if (!levels) return { pixels, chroma, tinted: false };
  for (let at = 0; at < pixels.length; at++) pixels[at] = levels[pixels[at]];
  return { pixels, chroma: 0, tinted: true };
}
function luma({ data, channels, width, height }) {
  const pixels = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < pixels.length; at++, from += channels) {
    let [r, g, b] = [data[from], data[from + 1], data[from + 2]];
    if (channels === 4 && data[from + 3] !== 255) [r, g, b] = overBlack(r, g, b, data[from + 3]);
    pixels[at] = r * 19595 + g * 38470 + b * 7471 + 32768 >> 16;
  }
  return pixels;
}
function overBlack(r, g, b, alpha) {
  if (alpha === 0) return [0, 0, 0];
  const outAlpha = alpha * 255 + 255 * (255 - alpha);
  const weight = Math.floor(alpha * 255 * 255 * 128 / outAlpha);
  const over = (value) => {
    const sum = value * weight + (128 << 7);
    return (sum >> 8) + sum >> 8 >> 7;
  };
  return [over(r), over(g), over(b)];
}
function small({ data, channels, width, height }) {
  const factor = Math.max(1, Math.floor(Math.min(width, height) / THUMBNAIL));
  if (factor === 1) return withoutAlpha({ data, channels, width, height });
  const source = channels === 4 ? premultiplied(data) : data;
  const [across, down] = [Math.ceil(width / factor), Math.ceil(height / factor)];
  const out = new Uint8Array(across * down * channels);
  for (let y = 0; y < down; y++) {
    const rows2 = Math.min(factor, height - y * factor);
    for (let x2 = 0; x2 < across; x2++) {
      const columns = Math.min(factor, width - x2 * factor);
      const n = rows2 * columns;
      const multiplier = BigInt(Math.trunc(Math.fround(2 ** 32 / (256 * n))));
      for (let channel = 0; channel < channels; channel++) {
        let sum = n >> 1;
        for (let j = 0; j < rows2; j++) {
          let from = ((y * factor + j) * width + x2 * factor) * channels + channel;
          for (let i2 = 0; i2 < columns; i2++, from += channels) sum += source[from];
        }
        out[(y * across + x2) * channels + channel] = Number(BigInt(sum) * multiplier >> 24n);
      }
    }
  }
  return withoutAlpha({ data: channels === 4 ? unmultiplied(out) : out, channels, width: across, height: down });
}
function premultiplied(data) {
  const out = data.slice();
  for (let at = 0; at < out.length; at += 4) {
    for (let channel = 0; channel < 3; channel++) {
      const product = data[at + channel] * data[at + 3] + 128;
      out[at + channel] = (product >> 8) + product >> 8;
    }
  }
  return out;
}
function unmultiplied(data) {
  const out = data.slice();
  for (let at = 0; at < out.length; at += 4) {
    const alpha = data[at + 3];
    if (alpha === 0 || alpha === 255) continue;
    for (let channel = 0; channel < 3; channel++) {
      out[at + channel] = Math.min(255, Math.floor(255 * data[at + channel] / alpha));
    }
  }
  return out;
}
function withoutAlpha({ data, channels, width, height }) {
  if (channels === 3) return { data, channels, width, height };
  const out = new Uint8Array(width * height * 3);
  for (let at = 0; at < width * height; at++) out.set(data.subarray(4 * at, 4 * at + 3), 3 * at);
  return { data: out, channels: 3, width, height };
}
function judge({ data, width, height }) {
  const n = width * height;
  const channel = (of) => Float64Array.from({ length: n }, (_, at) => data[3 * at + of]);
  const colours = [channel(0), channel(1), channel(2)];
  let apart = 0;
  const brightness = new Float64Array(n);
  for (let at = 0; at < n; at++) {
    const [r, g, b] = [colours[0][at], colours[1][at], colours[2][at]];
    apart += Math.max(r, g, b) - Math.min(r, g, b);
    brightness[at] = r * 0.299 + g * 0.587 + b * 0.114;
  }
  const chroma = apart / n;
  const spread = deviationOf(brightness);
  if (chroma <= GREY_CHROMA) return { chroma, levels: null };
  if (Math.abs(spread - 1) < CLOSE) throw tooClose("the picture's contrast");
  if (spread < 1) return { chroma, levels: null };
  const curves = colours.map((values) => parabola(brightness, values));
  let left = 0;
  colours.forEach((values, of) => {
    for (let at = 0; at < n; at++) left += (values[at] - curves[of](brightness[at])) ** 2;
  });
  const error = Math.sqrt(left / (3 * n));
  if (Math.abs(error - MOST_LEFT) < CLOSE) throw tooClose("how far the picture's colours are of one hue");
  return { chroma, levels: error > MOST_LEFT ? null : levelsOf(colours, curves) };
}
function parabola(x2, y) {
  const n = x2.length;
  const dot = (a2, b3) => {
    let sum = 0;
    for (let at = 0; at < n; at++) sum += a2[at] * b3[at];
    return sum;
  };
  const middle = meanOf(x2);
  const first = x2.map((value) => value - middle);
  const lean = dot(first, first.map((value) => value * value)) / dot(first, first);
  const square = meanOf(first.map((value) => value * value));
  const second = first.map((value) => value * value - lean * value - square);
  const norm = dot(second, second);
  if (norm < CLOSE * n) throw tooClose("the number of the picture's grey levels");
  const [a, b, c] = [meanOf(y), dot(first, y) / dot(first, first), dot(second, y) / norm];
  return (at) => {
    const away = at - middle;
    return a + b * away + c * (away * away - lean * away - square);
  };
}
function levelsOf(colours, curves) {
  const sorted = colours.map((values) => values.slice().sort());
  const n = sorted[0].length;
  const at = (of, share) => quantile((place) => sorted[of][place], n, share);
  const saturated = colours.map((values) => values.reduce((sum, value) => sum + Number(value >= FULL), 0) / n > SATURATED);
  const high = [0, 1, 2].map((of) => at(of, 0.995));
  let best = 1;
  if (!saturated.every(Boolean)) {
    const scores = saturated.some(Boolean) ? high.map((value, of) => saturated[of] ? -Infinity : -Math.abs(value / 255 - USUAL_WHITE)) : colours.map(deviationOf);
    best = scores.indexOf(Math.max(...scores));
    const others = scores.filter((_, of) => of !== best);
    if (others.some((score) => score !== scores[best] && scores[best] - score < 1e-9)) throw tooClose("the channel of most contrast");
  }
  const [black, white] = endsIn(at(best, 5e-3), high[best], 255);
  const levels = new Uint8Array(256);
  let channel = -Infinity;
  for (let brightness = 0; brightness < 256; brightness++) {
    channel = Math.max(channel, curves[best](brightness));
    const level = clamp((channel - black) * (255 / (white - black)), 0, 255);
    if (Math.abs(level - Math.floor(level) - 0.5) < CLOSE) throw tooClose("a grey level of a tinted film");
    levels[brightness] = rint(level);
  }
  return levels;
}

// src/film/dicom.ts
init_define_WASM();
var import_dicom_parser = __toESM(require_dicomParser_min(), 1);

// node_modules/jpeg-lossless-decoder-js/release/lossless.js
init_define_WASM();
var __defProp2 = Object.defineProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp2(target, name, { get: all[name], enumerable: true });
};
var ComponentSpec = {
  hSamp: 0,
  quantTableSel: 0,
  vSamp: 0
};
var DataStream = class {
  buffer;
  index;
  constructor(data, offset, length) {
    this.buffer = new Uint8Array(data, offset, length);
    this.index = 0;
  }
  get16() {
    const value = (this.buffer[this.index] << 8) + this.buffer[this.index + 1];
    this.index += 2;
    return value;
  }
  get8() {
    const value = this.buffer[this.index];
    this.index += 1;
    return value;
  }
};
var FrameHeader = class {
  dimX = 0;
  dimY = 0;
  numComp = 0;
  precision = 0;
  components = [];
  read(data) {
    let count = 0;
    let temp;
    const length = data.get16();
    count += 2;
    this.precision = data.get8();
    count += 1;
    this.dimY = data.get16();
    count += 2;
    this.dimX = data.get16();
    count += 2;
    this.numComp = data.get8();
    count += 1;
    for (let i2 = 1; i2 <= this.numComp; i2 += 1) {
      if (count > length) {
        throw new Error("ERROR: frame format error");
      }
      const c = data.get8();
      count += 1;
      if (count >= length) {
        throw new Error("ERROR: frame format error [c>=Lf]");
      }
      temp = data.get8();
      count += 1;
      if (!this.components[c]) {
        this.components[c] = { ...ComponentSpec };
      }
      this.components[c].hSamp = temp >> 4;
      this.components[c].vSamp = temp & 15;
      this.components[c].quantTableSel = data.get8();
      count += 1;
    }
    if (count !== length) {
      throw new Error("ERROR: frame format error [Lf!=count]");
    }
    return 1;
  }
};
var utils_exports = {};
__export(utils_exports, {
  crc32: () => crc32,
  crcTable: () => crcTable,
  createArray: () => createArray,
  makeCRCTable: () => makeCRCTable
});
var createArray = (...dimensions) => {
  if (dimensions.length > 1) {
    const dim = dimensions[0];
    const rest = dimensions.slice(1);
    const newArray = [];
    for (let i2 = 0; i2 < dim; i2++) {
      newArray[i2] = createArray(...rest);
    }
    return newArray;
  } else {
    return Array(dimensions[0]).fill(void 0);
  }
};
var makeCRCTable = function() {
  let c;
  const crcTable2 = [];
  for (let n = 0; n < 256; n++) {
    c = n;
    for (let k = 0; k < 8; k++) {
      c = c & 1 ? 3988292384 ^ c >>> 1 : c >>> 1;
    }
    crcTable2[n] = c;
  }
  return crcTable2;
};
var crcTable = makeCRCTable();
var crc32 = function(buffer) {
  const uint8view = new Uint8Array(buffer);
  let crc = 0 ^ -1;
  for (let i2 = 0; i2 < uint8view.length; i2++) {
    crc = crc >>> 8 ^ crcTable[(crc ^ uint8view[i2]) & 255];
  }
  return (crc ^ -1) >>> 0;
};
var HuffmanTable = class _HuffmanTable {
  static MSB = 2147483648;
  l;
  th;
  v;
  tc;
  constructor() {
    this.l = createArray(4, 2, 16);
    this.th = [0, 0, 0, 0];
    this.v = createArray(4, 2, 16, 200);
    this.tc = [
      [0, 0],
      [0, 0],
      [0, 0],
      [0, 0]
    ];
  }
  read(data, HuffTab) {
    let count = 0;
    let temp;
    let t;
    let c;
    let i2;
    let j;
    const length = data.get16();
    count += 2;
    while (count < length) {
      temp = data.get8();
      count += 1;
      t = temp & 15;
      if (t > 3) {
        throw new Error("ERROR: Huffman table ID > 3");
      }
      c = temp >> 4;
      if (c > 2) {
        throw new Error("ERROR: Huffman table [Table class > 2 ]");
      }
      this.th[t] = 1;
      this.tc[t][c] = 1;
      for (i2 = 0; i2 < 16; i2 += 1) {
        this.l[t][c][i2] = data.get8();
        count += 1;
      }
      for (i2 = 0; i2 < 16; i2 += 1) {
        for (j = 0; j < this.l[t][c][i2]; j += 1) {
          if (count > length) {
            throw new Error("ERROR: Huffman table format error [count>Lh]");
          }
          this.v[t][c][i2][j] = data.get8();
          count += 1;
        }
      }
    }
    if (count !== length) {
      throw new Error("ERROR: Huffman table format error [count!=Lf]");
    }
    for (i2 = 0; i2 < 4; i2 += 1) {
      for (j = 0; j < 2; j += 1) {
        if (this.tc[i2][j] !== 0) {
          this.buildHuffTable(HuffTab[i2][j], this.l[i2][j], this.v[i2][j]);
        }
      }
    }
    return 1;
  }
  //	Build_HuffTab()
  //	Parameter:  t       table ID
  //	            c       table class ( 0 for DC, 1 for AC )
  //	            L[i]    # of codewords which length is i
  //	            V[i][j] Huffman Value (length=i)
  //	Effect:
  //	    build up HuffTab[t][c] using L and V.
  buildHuffTable(tab, L, V) {
    let currentTable, k, i2, j, n;
    const temp = 256;
    k = 0;
    for (i2 = 0; i2 < 8; i2 += 1) {
      for (j = 0; j < L[i2]; j += 1) {
        for (n = 0; n < temp >> i2 + 1; n += 1) {
          tab[k] = V[i2][j] | i2 + 1 << 8;
          k += 1;
        }
      }
    }
    for (i2 = 1; k < 256; i2 += 1, k += 1) {
      tab[k] = i2 | _HuffmanTable.MSB;
    }
    currentTable = 1;
    k = 0;
    for (i2 = 8; i2 < 16; i2 += 1) {
      for (j = 0; j < L[i2]; j += 1) {
        for (n = 0; n < temp >> i2 - 7; n += 1) {
          tab[currentTable * 256 + k] = V[i2][j] | i2 + 1 << 8;
          k += 1;
        }
        if (k >= 256) {
          if (k > 256) {
            throw new Error("ERROR: Huffman table error(1)!");
          }
          k = 0;
          currentTable += 1;
        }
      }
    }
  }
};
var QuantizationTable = class _QuantizationTable {
  precision = [];
  // Quantization precision 8 or 16
  tq = [0, 0, 0, 0];
  // 1: this table is presented
  quantTables = createArray(4, 64);
  // Tables
  static enhanceQuantizationTable = function(qtab, table) {
    for (let i2 = 0; i2 < 8; i2 += 1) {
      qtab[table[0 * 8 + i2]] *= 90;
      qtab[table[4 * 8 + i2]] *= 90;
      qtab[table[2 * 8 + i2]] *= 118;
      qtab[table[6 * 8 + i2]] *= 49;
      qtab[table[5 * 8 + i2]] *= 71;
      qtab[table[1 * 8 + i2]] *= 126;
      qtab[table[7 * 8 + i2]] *= 25;
      qtab[table[3 * 8 + i2]] *= 106;
    }
    for (let i2 = 0; i2 < 8; i2 += 1) {
      qtab[table[0 + 8 * i2]] *= 90;
      qtab[table[4 + 8 * i2]] *= 90;
      qtab[table[2 + 8 * i2]] *= 118;
      qtab[table[6 + 8 * i2]] *= 49;
      qtab[table[5 + 8 * i2]] *= 71;
      qtab[table[1 + 8 * i2]] *= 126;
      qtab[table[7 + 8 * i2]] *= 25;
      qtab[table[3 + 8 * i2]] *= 106;
    }
    for (let i2 = 0; i2 < 64; i2 += 1) {
      qtab[i2] >>= 6;
    }
  };
  read(data, table) {
    let count = 0;
    let temp;
    let t;
    let i2;
    const length = data.get16();
    count += 2;
    while (count < length) {
      temp = data.get8();
      count += 1;
      t = temp & 15;
      if (t > 3) {
        throw new Error("ERROR: Quantization table ID > 3");
      }
      this.precision[t] = temp >> 4;
      if (this.precision[t] === 0) {
        this.precision[t] = 8;
      } else if (this.precision[t] === 1) {
        this.precision[t] = 16;
      } else {
        throw new Error("ERROR: Quantization table precision error");
      }
      this.tq[t] = 1;
      if (this.precision[t] === 8) {
        for (i2 = 0; i2 < 64; i2 += 1) {
          if (count > length) {
            throw new Error("ERROR: Quantization table format error");
          }
          this.quantTables[t][i2] = data.get8();
          count += 1;
        }
        _QuantizationTable.enhanceQuantizationTable(this.quantTables[t], table);
      } else {
        for (i2 = 0; i2 < 64; i2 += 1) {
          if (count > length) {
            throw new Error("ERROR: Quantization table format error");
          }
          this.quantTables[t][i2] = data.get16();
          count += 2;
        }
        _QuantizationTable.enhanceQuantizationTable(this.quantTables[t], table);
      }
    }
    if (count !== length) {
      throw new Error("ERROR: Quantization table error [count!=Lq]");
    }
    return 1;
  }
};
var ScanComponent = {
  acTabSel: 0,
  // AC table selector
  dcTabSel: 0,
  // DC table selector
  scanCompSel: 0
  // Scan component selector
};
var ScanHeader = class {
  ah = 0;
  al = 0;
  numComp = 0;
  // Number of components in the scan
  selection = 0;
  // Start of spectral or predictor selection
  spectralEnd = 0;
  // End of spectral selection
  components = [];
  read(data) {
    let count = 0;
    let i2;
    let temp;
    const length = data.get16();
    count += 2;
    this.numComp = data.get8();
    count += 1;
    for (i2 = 0; i2 < this.numComp; i2 += 1) {
      this.components[i2] = { ...ScanComponent };
      if (count > length) {
        throw new Error("ERROR: scan header format error");
      }
      this.components[i2].scanCompSel = data.get8();
      count += 1;
      temp = data.get8();
      count += 1;
      this.components[i2].dcTabSel = temp >> 4;
      this.components[i2].acTabSel = temp & 15;
    }
    this.selection = data.get8();
    count += 1;
    this.spectralEnd = data.get8();
    count += 1;
    temp = data.get8();
    this.ah = temp >> 4;
    this.al = temp & 15;
    count += 1;
    if (count !== length) {
      throw new Error("ERROR: scan header format error [count!=Ns]");
    }
    return 1;
  }
};
var littleEndian = (function() {
  const buffer = new ArrayBuffer(2);
  new DataView(buffer).setInt16(
    0,
    256,
    true
    /* littleEndian */
  );
  return new Int16Array(buffer)[0] === 256;
})();
var Decoder = class _Decoder {
  static IDCT_P = [
    0,
    5,
    40,
    16,
    45,
    2,
    7,
    42,
    21,
    56,
    8,
    61,
    18,
    47,
    1,
    4,
    41,
    23,
    58,
    13,
    32,
    24,
    37,
    10,
    63,
    17,
    44,
    3,
    6,
    43,
    20,
    57,
    15,
    34,
    29,
    48,
    53,
    26,
    39,
    9,
    60,
    19,
    46,
    22,
    59,
    12,
    33,
    31,
    50,
    55,
    25,
    36,
    11,
    62,
    14,
    35,
    28,
    49,
    52,
    27,
    38,
    30,
    51,
    54
  ];
  static TABLE = [
    0,
    1,
    5,
    6,
    14,
    15,
    27,
    28,
    2,
    4,
    7,
    13,
    16,
    26,
    29,
    42,
    3,
    8,
    12,
    17,
    25,
    30,
    41,
    43,
    9,
    11,
    18,
    24,
    31,
    40,
    44,
    53,
    10,
    19,
    23,
    32,
    39,
    45,
    52,
    54,
    20,
    22,
    33,
    38,
    46,
    51,
    55,
    60,
    21,
    34,
    37,
    47,
    50,
    56,
    59,
    61,
    35,
    36,
    48,
    49,
    57,
    58,
    62,
    63
  ];
  static MAX_HUFFMAN_SUBTREE = 50;
  static MSB = 2147483648;
  static RESTART_MARKER_BEGIN = 65488;
  static RESTART_MARKER_END = 65495;
  buffer = null;
  stream = null;
  frame = new FrameHeader();
  huffTable = new HuffmanTable();
  quantTable = new QuantizationTable();
  scan = new ScanHeader();
  DU = createArray(10, 4, 64);
  // at most 10 data units in a MCU, at most 4 data units in one component
  HuffTab = createArray(4, 2, 50 * 256);
  IDCT_Source = [];
  nBlock = [];
  // number of blocks in the i-th Comp in a scan
  acTab = createArray(10, 1);
  // ac HuffTab for the i-th Comp in a scan
  dcTab = createArray(10, 1);
  // dc HuffTab for the i-th Comp in a scan
  qTab = createArray(10, 1);
  // quantization table for the i-th Comp in a scan
  marker = 0;
  markerIndex = 0;
  numComp = 0;
  restartInterval = 0;
  selection = 0;
  xDim = 0;
  yDim = 0;
  xLoc = 0;
  yLoc = 0;
  outputData = null;
  restarting = false;
  mask = 0;
  numBytes = 0;
  precision = void 0;
  components = [];
  getter = null;
  setter = null;
  output = null;
  selector = null;
  /**
   * The Decoder constructor.
   * @property {number} numBytes - number of bytes per component
   * @type {Function}
   */
  constructor(buffer, numBytes) {
    this.buffer = buffer ?? null;
    this.numBytes = numBytes ?? 0;
  }
  /**
   * Returns decompressed data.
   */
  decompress(buffer, offset, length) {
    const result = this.decode(buffer, offset, length);
    return result.buffer;
  }
  decode(buffer, offset, length, numBytes) {
    let scanNum = 0;
    const pred = [];
    let i2;
    let compN;
    const temp = [];
    const index = [];
    let mcuNum;
    if (buffer) {
      this.buffer = buffer;
    }
    if (numBytes !== void 0) {
      this.numBytes = numBytes;
    }
    this.stream = new DataStream(this.buffer, offset, length);
    this.buffer = null;
    this.xLoc = 0;
    this.yLoc = 0;
    let current = this.stream.get16();
    if (current !== 65496) {
      throw new Error("Not a JPEG file");
    }
    current = this.stream.get16();
    while (current >> 4 !== 4092 || current === 65476) {
      switch (current) {
        case 65476:
          this.huffTable.read(this.stream, this.HuffTab);
          break;
        case 65484:
          throw new Error("Program doesn't support arithmetic coding. (format throw new IOException)");
        case 65499:
          this.quantTable.read(this.stream, _Decoder.TABLE);
          break;
        case 65501:
          this.restartInterval = this.readNumber() ?? 0;
          break;
        case 65504:
        case 65505:
        case 65506:
        case 65507:
        case 65508:
        case 65509:
        case 65510:
        case 65511:
        case 65512:
        case 65513:
        case 65514:
        case 65515:
        case 65516:
        case 65517:
        case 65518:
        case 65519:
          this.readApp();
          break;
        case 65534:
          this.readComment();
          break;
        default:
          if (current >> 8 !== 255) {
            throw new Error("ERROR: format throw new IOException! (decode)");
          }
      }
      current = this.stream.get16();
    }
    if (current < 65472 || current > 65479) {
      throw new Error("ERROR: could not handle arithmetic code!");
    }
    this.frame.read(this.stream);
    current = this.stream.get16();
    do {
      while (current !== 65498) {
        switch (current) {
          case 65476:
            this.huffTable.read(this.stream, this.HuffTab);
            break;
          case 65484:
            throw new Error("Program doesn't support arithmetic coding. (format throw new IOException)");
          case 65499:
            this.quantTable.read(this.stream, _Decoder.TABLE);
            break;
          case 65501:
            this.restartInterval = this.readNumber() ?? 0;
            break;
          case 65504:
          case 65505:
          case 65506:
          case 65507:
          case 65508:
          case 65509:
          case 65510:
          case 65511:
          case 65512:
          case 65513:
          case 65514:
          case 65515:
          case 65516:
          case 65517:
          case 65518:
          case 65519:
            this.readApp();
            break;
          case 65534:
            this.readComment();
            break;
          default:
            if (current >> 8 !== 255) {
              throw new Error("ERROR: format throw new IOException! (Parser.decode)");
            }
        }
        current = this.stream.get16();
      }
      this.precision = this.frame.precision;
      this.components = this.frame.components;
      if (!this.numBytes) {
        this.numBytes = Math.round(Math.ceil(this.precision / 8));
      }
      if (this.numBytes === 1) {
        this.mask = 255;
      } else {
        this.mask = 65535;
      }
      this.scan.read(this.stream);
      this.numComp = this.scan.numComp;
      this.selection = this.scan.selection;
      if (this.numBytes === 1) {
        if (this.numComp === 3) {
          this.getter = this.getValueRGB;
          this.setter = this.setValueRGB;
          this.output = this.outputRGB;
        } else {
          this.getter = this.getValue8;
          this.setter = this.setValue8;
          this.output = this.outputSingle;
        }
      } else {
        this.getter = this.getValue8;
        this.setter = this.setValue8;
        this.output = this.outputSingle;
      }
      switch (this.selection) {
        case 2:
          this.selector = this.select2;
          break;
        case 3:
          this.selector = this.select3;
          break;
        case 4:
          this.selector = this.select4;
          break;
        case 5:
          this.selector = this.select5;
          break;
        case 6:
          this.selector = this.select6;
          break;
        case 7:
          this.selector = this.select7;
          break;
        default:
          this.selector = this.select1;
          break;
      }
      for (i2 = 0; i2 < this.numComp; i2 += 1) {
        compN = this.scan.components[i2].scanCompSel;
        this.qTab[i2] = this.quantTable.quantTables[this.components[compN].quantTableSel];
        this.nBlock[i2] = this.components[compN].vSamp * this.components[compN].hSamp;
        this.dcTab[i2] = this.HuffTab[this.scan.components[i2].dcTabSel][0];
        this.acTab[i2] = this.HuffTab[this.scan.components[i2].acTabSel][1];
      }
      this.xDim = this.frame.dimX;
      this.yDim = this.frame.dimY;
      if (this.numBytes === 1) {
        this.outputData = new Uint8Array(new ArrayBuffer(this.xDim * this.yDim * this.numBytes * this.numComp));
      } else {
        this.outputData = new Uint16Array(new ArrayBuffer(this.xDim * this.yDim * this.numBytes * this.numComp));
      }
      scanNum += 1;
      while (true) {
        temp[0] = 0;
        index[0] = 0;
        for (i2 = 0; i2 < 10; i2 += 1) {
          pred[i2] = 1 << this.precision - 1;
        }
        if (this.restartInterval === 0) {
          current = this.decodeUnit(pred, temp, index);
          while (current === 0 && this.xLoc < this.xDim && this.yLoc < this.yDim) {
            this.output(pred);
            current = this.decodeUnit(pred, temp, index);
          }
          break;
        }
        for (mcuNum = 0; mcuNum < this.restartInterval; mcuNum += 1) {
          this.restarting = mcuNum === 0;
          current = this.decodeUnit(pred, temp, index);
          this.output(pred);
          if (current !== 0) {
            break;
          }
        }
        if (current === 0) {
          if (this.markerIndex !== 0) {
            current = 65280 | this.marker;
            this.markerIndex = 0;
          } else {
            current = this.stream.get16();
          }
        }
        if (!(current >= _Decoder.RESTART_MARKER_BEGIN && current <= _Decoder.RESTART_MARKER_END)) {
          break;
        }
      }
      if (current === 65500 && scanNum === 1) {
        this.readNumber();
        current = this.stream.get16();
      }
    } while (current !== 65497 && this.xLoc < this.xDim && this.yLoc < this.yDim && scanNum === 0);
    return this.outputData;
  }
  decodeUnit(prev, temp, index) {
    if (this.numComp === 1) {
      return this.decodeSingle(prev, temp, index);
    } else if (this.numComp === 3) {
      return this.decodeRGB(prev, temp, index);
    } else {
      return -1;
    }
  }
  select1(compOffset) {
    return this.getPreviousX(compOffset);
  }
  select2(compOffset) {
    return this.getPreviousY(compOffset);
  }
  select3(compOffset) {
    return this.getPreviousXY(compOffset);
  }
  select4(compOffset) {
    return this.getPreviousX(compOffset) + this.getPreviousY(compOffset) - this.getPreviousXY(compOffset);
  }
  select5(compOffset) {
    return this.getPreviousX(compOffset) + (this.getPreviousY(compOffset) - this.getPreviousXY(compOffset) >> 1);
  }
  select6(compOffset) {
    return this.getPreviousY(compOffset) + (this.getPreviousX(compOffset) - this.getPreviousXY(compOffset) >> 1);
  }
  select7(compOffset) {
    return (this.getPreviousX(compOffset) + this.getPreviousY(compOffset)) / 2;
  }
  decodeRGB(prev, temp, index) {
    if (this.selector === null)
      throw new Error("decode hasn't run yet");
    let actab, dctab, qtab, ctrC, i2, k, j;
    prev[0] = this.selector(0);
    prev[1] = this.selector(1);
    prev[2] = this.selector(2);
    for (ctrC = 0; ctrC < this.numComp; ctrC += 1) {
      qtab = this.qTab[ctrC];
      actab = this.acTab[ctrC];
      dctab = this.dcTab[ctrC];
      for (i2 = 0; i2 < this.nBlock[ctrC]; i2 += 1) {
        for (k = 0; k < this.IDCT_Source.length; k += 1) {
          this.IDCT_Source[k] = 0;
        }
        let value = this.getHuffmanValue(dctab, temp, index);
        if (value >= 65280) {
          return value;
        }
        prev[ctrC] = this.IDCT_Source[0] = prev[ctrC] + this.getn(index, value, temp, index);
        this.IDCT_Source[0] *= qtab[0];
        for (j = 1; j < 64; j += 1) {
          value = this.getHuffmanValue(actab, temp, index);
          if (value >= 65280) {
            return value;
          }
          j += value >> 4;
          if ((value & 15) === 0) {
            if (value >> 4 === 0) {
              break;
            }
          } else {
            this.IDCT_Source[_Decoder.IDCT_P[j]] = this.getn(index, value & 15, temp, index) * qtab[j];
          }
        }
      }
    }
    return 0;
  }
  decodeSingle(prev, temp, index) {
    if (this.selector === null)
      throw new Error("decode hasn't run yet");
    let value, i2, n, nRestart;
    if (this.restarting) {
      this.restarting = false;
      prev[0] = 1 << this.frame.precision - 1;
    } else {
      prev[0] = this.selector();
    }
    for (i2 = 0; i2 < this.nBlock[0]; i2 += 1) {
      value = this.getHuffmanValue(this.dcTab[0], temp, index);
      if (value >= 65280) {
        return value;
      }
      n = this.getn(prev, value, temp, index);
      nRestart = n >> 8;
      if (nRestart >= _Decoder.RESTART_MARKER_BEGIN && nRestart <= _Decoder.RESTART_MARKER_END) {
        return nRestart;
      }
      prev[0] += n;
    }
    return 0;
  }
  //	Huffman table for fast search: (HuffTab) 8-bit Look up table 2-layer search architecture, 1st-layer represent 256 node (8 bits) if codeword-length > 8
  //	bits, then the entry of 1st-layer = (# of 2nd-layer table) | MSB and it is stored in the 2nd-layer Size of tables in each layer are 256.
  //	HuffTab[*][*][0-256] is always the only 1st-layer table.
  //
  //	An entry can be: (1) (# of 2nd-layer table) | MSB , for code length > 8 in 1st-layer (2) (Code length) << 8 | HuffVal
  //
  //	HuffmanValue(table   HuffTab[x][y] (ex) HuffmanValue(HuffTab[1][0],...)
  //	                ):
  //	    return: Huffman Value of table
  //	            0xFF?? if it receives a MARKER
  //	    Parameter:  table   HuffTab[x][y] (ex) HuffmanValue(HuffTab[1][0],...)
  //	                temp    temp storage for remainded bits
  //	                index   index to bit of temp
  //	                in      FILE pointer
  //	    Effect:
  //	        temp  store new remainded bits
  //	        index change to new index
  //	        in    change to new position
  //	    NOTE:
  //	      Initial by   temp=0; index=0;
  //	    NOTE: (explain temp and index)
  //	      temp: is always in the form at calling time or returning time
  //	       |  byte 4  |  byte 3  |  byte 2  |  byte 1  |
  //	       |     0    |     0    | 00000000 | 00000??? |  if not a MARKER
  //	                                               ^index=3 (from 0 to 15)
  //	                                               321
  //	    NOTE (marker and marker_index):
  //	      If get a MARKER from 'in', marker=the low-byte of the MARKER
  //	        and marker_index=9
  //	      If marker_index=9 then index is always > 8, or HuffmanValue()
  //	        will not be called
  getHuffmanValue(table, temp, index) {
    let code, input;
    const mask = 65535;
    if (!this.stream)
      throw new Error("stream not initialized");
    if (index[0] < 8) {
      temp[0] <<= 8;
      input = this.stream.get8();
      if (input === 255) {
        this.marker = this.stream.get8();
        if (this.marker !== 0) {
          this.markerIndex = 9;
        }
      }
      temp[0] |= input;
    } else {
      index[0] -= 8;
    }
    code = table[temp[0] >> index[0]];
    if ((code & _Decoder.MSB) !== 0) {
      if (this.markerIndex !== 0) {
        this.markerIndex = 0;
        return 65280 | this.marker;
      }
      temp[0] &= mask >> 16 - index[0];
      temp[0] <<= 8;
      input = this.stream.get8();
      if (input === 255) {
        this.marker = this.stream.get8();
        if (this.marker !== 0) {
          this.markerIndex = 9;
        }
      }
      temp[0] |= input;
      code = table[(code & 255) * 256 + (temp[0] >> index[0])];
      index[0] += 8;
    }
    index[0] += 8 - (code >> 8);
    if (index[0] < 0) {
      throw new Error("index=" + index[0] + " temp=" + temp[0] + " code=" + code + " in HuffmanValue()");
    }
    if (index[0] < this.markerIndex) {
      this.markerIndex = 0;
      return 65280 | this.marker;
    }
    temp[0] &= mask >> 16 - index[0];
    return code & 255;
  }
  getn(PRED, n, temp, index) {
    let result, input;
    const one = 1;
    const n_one = -1;
    const mask = 65535;
    if (this.stream === null)
      throw new Error("stream not initialized");
    if (n === 0) {
      return 0;
    }
    if (n === 16) {
      if (PRED[0] >= 0) {
        return -32768;
      } else {
        return 32768;
      }
    }
    index[0] -= n;
    if (index[0] >= 0) {
      if (index[0] < this.markerIndex && !this.isLastPixel()) {
        this.markerIndex = 0;
        return (65280 | this.marker) << 8;
      }
      result = temp[0] >> index[0];
      temp[0] &= mask >> 16 - index[0];
    } else {
      temp[0] <<= 8;
      input = this.stream.get8();
      if (input === 255) {
        this.marker = this.stream.get8();
        if (this.marker !== 0) {
          this.markerIndex = 9;
        }
      }
      temp[0] |= input;
      index[0] += 8;
      if (index[0] < 0) {
        if (this.markerIndex !== 0) {
          this.markerIndex = 0;
          return (65280 | this.marker) << 8;
        }
        temp[0] <<= 8;
        input = this.stream.get8();
        if (input === 255) {
          this.marker = this.stream.get8();
          if (this.marker !== 0) {
            this.markerIndex = 9;
          }
        }
        temp[0] |= input;
        index[0] += 8;
      }
      if (index[0] < 0) {
        throw new Error("index=" + index[0] + " in getn()");
      }
      if (index[0] < this.markerIndex) {
        this.markerIndex = 0;
        return (65280 | this.marker) << 8;
      }
      result = temp[0] >> index[0];
      temp[0] &= mask >> 16 - index[0];
    }
    if (result < one << n - 1) {
      result += (n_one << n) + 1;
    }
    return result;
  }
  getPreviousX(compOffset = 0) {
    if (this.getter === null)
      throw new Error("decode hasn't run yet");
    if (this.xLoc > 0) {
      return this.getter(this.yLoc * this.xDim + this.xLoc - 1, compOffset);
    } else if (this.yLoc > 0) {
      return this.getPreviousY(compOffset);
    } else {
      return 1 << this.frame.precision - 1;
    }
  }
  getPreviousXY(compOffset = 0) {
    if (this.getter === null)
      throw new Error("decode hasn't run yet");
    if (this.xLoc > 0 && this.yLoc > 0) {
      return this.getter((this.yLoc - 1) * this.xDim + this.xLoc - 1, compOffset);
    } else {
      return this.getPreviousY(compOffset);
    }
  }
  getPreviousY(compOffset = 0) {
    if (this.getter === null)
      throw new Error("decode hasn't run yet");
    if (this.yLoc > 0) {
      return this.getter((this.yLoc - 1) * this.xDim + this.xLoc, compOffset);
    } else {
      return this.getPreviousX(compOffset);
    }
  }
  isLastPixel() {
    return this.xLoc === this.xDim - 1 && this.yLoc === this.yDim - 1;
  }
  outputSingle(PRED) {
    if (this.setter === null)
      throw new Error("decode hasn't run yet");
    if (this.xLoc < this.xDim && this.yLoc < this.yDim) {
      this.setter(this.yLoc * this.xDim + this.xLoc, this.mask & PRED[0]);
      this.xLoc += 1;
      if (this.xLoc >= this.xDim) {
        this.yLoc += 1;
        this.xLoc = 0;
      }
    }
  }
  outputRGB(PRED) {
    if (this.setter === null)
      throw new Error("decode hasn't run yet");
    const offset = this.yLoc * this.xDim + this.xLoc;
    if (this.xLoc < this.xDim && this.yLoc < this.yDim) {
      this.setter(offset, PRED[0], 0);
      this.setter(offset, PRED[1], 1);
      this.setter(offset, PRED[2], 2);
      this.xLoc += 1;
      if (this.xLoc >= this.xDim) {
        this.yLoc += 1;
        this.xLoc = 0;
      }
    }
  }
  setValue8(index, val) {
    if (!this.outputData)
      throw new Error("output data not ready");
    if (littleEndian) {
      this.outputData[index] = val;
    } else {
      this.outputData[index] = (val & 255) << 8 | val >> 8 & 255;
    }
  }
  getValue8(index) {
    if (this.outputData === null)
      throw new Error("output data not ready");
    if (littleEndian) {
      return this.outputData[index];
    } else {
      const val = this.outputData[index];
      return (val & 255) << 8 | val >> 8 & 255;
    }
  }
  setValueRGB(index, val, compOffset = 0) {
    if (this.outputData === null)
      return;
    this.outputData[index * 3 + compOffset] = val;
  }
  getValueRGB(index, compOffset) {
    if (this.outputData === null)
      throw new Error("output data not ready");
    return this.outputData[index * 3 + compOffset];
  }
  readApp() {
    if (this.stream === null)
      return null;
    let count = 0;
    const length = this.stream.get16();
    count += 2;
    while (count < length) {
      this.stream.get8();
      count += 1;
    }
    return length;
  }
  readComment() {
    if (this.stream === null)
      return null;
    let sb = "";
    let count = 0;
    const length = this.stream.get16();
    count += 2;
    while (count < length) {
      sb += this.stream.get8();
      count += 1;
    }
    return sb;
  }
  readNumber() {
    if (this.stream === null)
      return null;
    const Ld = this.stream.get16();
    if (Ld !== 4) {
      throw new Error("ERROR: Define number format throw new IOException [Ld!=4]");
    }
    return this.stream.get16();
  }
};

// src/film/jpeg.ts
init_define_WASM();
var import_decodewasmjs = __toESM(require_libjpegturbowasm_decode(), 1);

// src/film/orientation.ts
init_define_WASM();
var ORIENTATION = 274;
var WHOLE = { 1: 1, 3: 2, 4: 4 };
function orientationOf(exif, xmp) {
  const stated = exif ? ofExif(exif) : null;
  if (stated !== null) return stated >= 1 && stated <= 8 ? stated : 1;
  const text = xmp ? new TextDecoder("latin1").decode(xmp) : "";
  const match = /tiff:Orientation(="|>)([0-9])/.exec(text);
  const number = match ? Number(match[2]) : 1;
  return number >= 1 && number <= 8 ? number : 1;
}
function ofExif(data) {
  while (isExif(data)) data = data.subarray(6);
  if (!data.length) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  try {
    const order = view.getUint16(0);
    if (order !== 18761 && order !== 19789) throw damaged("its EXIF data begin with no byte order");
    const little = order === 18761;
    if (view.getUint16(2, little) !== 42) throw notReadHere("the film's EXIF data are of a kind that is not read here", "they are no classic TIFF");
    const start2 = view.getUint32(4, little);
    for (let left = view.getUint16(start2, little), at = start2 + 2; left > 0; left--, at += 12) {
      if (view.getUint16(at, little) !== ORIENTATION) continue;
      const size = WHOLE[view.getUint16(at + 2, little)];
      if (!size || view.getUint32(at + 4, little) !== 1) {
        throw notReadHere("the film states its orientation in an unusual way", "EXIF has one whole number for it");
      }
      return size === 1 ? view.getUint8(at + 8) : size === 2 ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
    }
    return null;
  } catch (error) {
    if (error instanceof RangeError) throw notReadHere("the film's EXIF data are cut short", "they end before their own list does");
    throw error;
  }
}
function isExif(data) {
  return data.length >= 6 && String.fromCharCode(...data.subarray(0, 6)) === "Exif\0\0";
}
function upright(data, width, height, channels, orientation) {
  if (orientation === 1) return { data, width, height };
  const turned = orientation >= 5;
  const [w, h] = turned ? [height, width] : [width, height];
  const out = new data.constructor(data.length);
  for (let y = 0; y < h; y++) {
    for (let x2 = 0; x2 < w; x2++) {
      const [row, column] = turned ? [x2, y] : [y, x2];
      const mirrorColumn = [2, 3, 7, 8].includes(orientation);
      const mirrorRow = [3, 4, 6, 7].includes(orientation);
      const from = ((mirrorRow ? height - 1 - row : row) * width + (mirrorColumn ? width - 1 - column : column)) * channels;
      const to = (y * w + x2) * channels;
      for (let channel = 0; channel < channels; channel++) out[to + channel] = data[from + channel];
    }
  }
  return { data: out, width: w, height: h };
}

// src/film/jpeg.ts
var [SOI, EOI, SOS, APP1] = [216, 217, 218, 225];
var LOSSLESS = [195, 199, 203, 207];
var JPEG_LS = 247;
var MAX_SCANS = 32;
var MAX_SEGMENTS = 2e3;
var XMP = "http://ns.adobe.com/xap/1.0/\0";
var isFrame = (marker) => marker === JPEG_LS || marker >= 192 && marker <= 207 && ![196, 200, 204].includes(marker);
function readJpegHeader(stream) {
  const found = { width: 0, height: 0, precision: 0, samples: 0, frames: 0, scans: 0, lossless: false, jpegLs: false, exif: null, xmp: null };
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const exif = [];
  let [place, segments] = [0, 0];
  while (place < stream.length) {
    const start2 = nextMarker(stream, place);
    if (start2 < 0) break;
    const marker = stream[start2 + 1];
    if (start2 > place && !found.scans && !stream.subarray(place, start2).every((byte) => byte === 255)) {
      throw damaged("its segments do not follow one another");
    }
    if (marker === EOI) break;
    if (++segments > MAX_SEGMENTS || found.scans > MAX_SCANS) throw tooManyParts();
    const after = start2 + 2;
    if (marker === SOI || marker === 1) {
      place = after;
      continue;
    }
    if (after + 2 > stream.length) break;
    const length = view.getUint16(after);
    const content = stream.subarray(after + 2, after + length);
    if (isFrame(marker) && content.length >= 6) {
      const frame = new DataView(content.buffer, content.byteOffset, content.byteLength);
      found.frames += 1;
      found.precision = content[0];
      [found.height, found.width, found.samples] = [frame.getUint16(1), frame.getUint16(3), content[5]];
      [found.lossless, found.jpegLs] = [LOSSLESS.includes(marker), marker === JPEG_LS];
    }
    if (marker === SOS) found.scans += 1;
    if (marker === APP1 && !found.scans) {
      if (isExif(content)) exif.push(exif.length ? content.subarray(6) : content);
      else if (startsWith(content, XMP)) found.xmp = content.subarray(XMP.length);
    }
    place = after + length;
  }
  if (found.scans > MAX_SCANS) throw tooManyParts();
  if (exif.length) {
    const whole = new Uint8Array(exif.reduce((sum, part) => sum + part.length, 0));
    exif.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
    found.exif = whole;
  }
  return found;
}
var startsWith = (data, text) => data.length >= text.length && [...text].every((sign, at) => data[at] === sign.charCodeAt(0));
function nextMarker(stream, from) {
  for (let at = from; at + 1 < stream.length; at++) {
    const next = stream[at + 1];
    if (stream[at] === 255 && next !== 0 && next !== 255 && (next < 208 || next > 215)) return at;
  }
  return -1;
}
var tooManyParts = () => filmError("the film is made of too many parts", "each of its parts costs memory or time, and no film has as many", "Export the film again, without its notes.");
var JpegCodec = class _JpegCodec {
  constructor(codec) {
    this.codec = codec;
  }
  codec;
  /** Open the codec of its WebAssembly bytes, which were held to their digest. */
  static async open(wasmBinary) {
    const silent = () => void 0;
    return new _JpegCodec(await (0, import_decodewasmjs.default)({ wasmBinary, print: silent, printErr: silent }));
  }
  /** Decode a stream of 8 bits, grey or of three colours; pixel by pixel. */
  decode(stream, header) {
    if (header.samples !== 1 && header.samples !== 3) {
      throw notReadHere("the film is a JPEG of an unusual number of colours", `it has ${header.samples}, and grey or RGB is read here`);
    }
    const decoder = new this.codec.JPEGDecoder();
    try {
      decoder.getEncodedBuffer(stream.length).set(stream);
      decoder.decode();
      const { width, height, componentCount } = decoder.getFrameInfo();
      const data = decoder.getDecodedBuffer().slice();
      if (width !== header.width || height !== header.height || componentCount !== header.samples || data.length !== width * height * componentCount) {
        throw damaged("its header and its picture have different sizes");
      }
      return { data, channels: componentCount === 1 ? 1 : 3 };
    } catch (error) {
      if (error instanceof Error && error.name === "EngineError") throw error;
      throw damaged("its compressed picture cannot be decoded to the end");
    } finally {
      decoder.delete();
    }
  }
};

// src/film/dicom.ts
var IMPLICIT = "1.2.840.10008.1.2";
var EXPLICIT = "1.2.840.10008.1.2.1";
var DEFLATED = "1.2.840.10008.1.2.1.99";
var BIG_ENDIAN = "1.2.840.10008.1.2.2";
var RLE = "1.2.840.10008.1.2.5";
var JPEG_8 = "1.2.840.10008.1.2.4.50";
var JPEG_12 = "1.2.840.10008.1.2.4.51";
var LOSSLESS2 = ["1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"];
var PLAIN = [IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN];
var MAX_INFLATED = 8e7;
var LEAST_INSIDE = 0.05;
var TAG = {
  sopClass: "x00080016",
  modality: "x00080060",
  intent: "x00080068",
  bodyPart: "x00180015",
  view: "x00185101",
  viewCode: "x00540220",
  age: "x00101010",
  orientation: "x00200020",
  burnedIn: "x00280301",
  frames: "x00280008",
  rows: "x00280010",
  columns: "x00280011",
  samples: "x00280002",
  photometric: "x00280004",
  planar: "x00280006",
  allocated: "x00280100",
  stored: "x00280101",
  highBit: "x00280102",
  signed: "x00280103",
  modalityLut: "x00283000",
  slope: "x00281053",
  intercept: "x00281052",
  voiLut: "x00283010",
  center: "x00281050",
  width: "x00281051",
  voiFunction: "x00281056",
  padding: "x00280120",
  paddingLimit: "x00280121",
  pixels: "x7fe00010",
  shutter: "x00181600",
  left: "x00181602",
  right: "x00181604",
  upper: "x00181606",
  lower: "x00181608",
  circle: "x00181610",
  radius: "x00181612",
  meaning: "x00080104"
};
var damaged2 = (why) => filmError("the film cannot be read as DICOM", why, "Export it again, or as PNG from a viewer.");
function looksLikeDicom(data) {
  return String.fromCharCode(...data.subarray(128, 132)) === "DICM";
}
function openDicom(data, rules, codec) {
  const set = parse(data);
  const header = readHeader(set);
  const rejected = rejectByHeader(header, rules);
  if (rejected) return { rejected };
  refusePixels(header, set, rules);
  const said2 = saidBy(header, rules);
  if (header.samples === 3) return { film: ofColours(header, set, said2, rules) };
  const frame = header.syntax === RLE || !PLAIN.includes(header.syntax) ? packed(header, set, codec) : plain(header, set);
  const { pixels, limits } = shown(frame, header, set, rules);
  return { film: { grey: { pixels, width: header.columns, height: header.rows }, chroma: 0, limits: [...said2, ...limits] } };
}
function parse(data) {
  try {
    return import_dicom_parser.default.parseDicom(data, { untilTag: TAG.pixels, inflater: inflated });
  } catch (error) {
    if (error instanceof Error && error.name === "EngineError") throw error;
    throw damaged2("its elements cannot be read to the end, or nest or multiply beyond any film's");
  }
}
function inflated(file, position) {
  const rest = inflateSync(file.subarray(position), { out: new Uint8Array(MAX_INFLATED + 1) });
  if (rest.length > MAX_INFLATED) throw damaged2(`it inflates to more than ${MAX_INFLATED} bytes, which would fill the memory`);
  const whole = new Uint8Array(position + rest.length);
  whole.set(file.subarray(0, position));
  whole.set(rest, position);
  return whole;
}
function words(set, tag) {
  const element = set.elements[tag];
  if (!element || !element.length) return "";
  const text = set.string(tag) ?? "";
  return text.split("\\").map((part) => part.replace(/\0+$/, "").trim().toUpperCase()).join("\\");
}
function short(set, tag, otherwise) {
  const element = set.elements[tag];
  if (!element || !element.length) return otherwise;
  if (element.length < 2) throw damaged2("an element of its header holds something else than it should");
  return set.uint16(tag);
}
function numbers(set, tag) {
  const element = set.elements[tag];
  if (!element || !element.length) return [];
  return (set.string(tag) ?? "").replace(/\0+$/, "").split("\\").map((part) => part.trim() ? Number(part.trim()) : NaN);
}
var DAYS = { D: 365.25, W: 52.18, M: 12, Y: 1, "": 1 };
function readHeader(set) {
  const allocated = short(set, TAG.allocated, 0);
  const stored = short(set, TAG.stored, allocated);
  const frames = numbers(set, TAG.frames);
  if (frames.some((one) => !Number.isInteger(one))) throw damaged2("an element of its header holds something else than it should");
  const age = /^(\d{1,3})\s*([DWMY]?)$/.exec(words(set, TAG.age));
  return {
    syntax: words(set, "x00020010"),
    rows: short(set, TAG.rows, 0),
    columns: short(set, TAG.columns, 0),
    samples: short(set, TAG.samples, 1),
    frames: frames[0] ?? 1,
    allocated,
    stored,
    highBit: short(set, TAG.highBit, stored - 1),
    signed: short(set, TAG.signed, 0) === 1,
    planar: short(set, TAG.planar, 0),
    photometric: words(set, TAG.photometric),
    modality: words(set, TAG.modality),
    intent: words(set, TAG.intent),
    bodyPart: words(set, TAG.bodyPart),
    view: words(set, TAG.view) || viewWords(set),
    years: age ? Number(age[1]) / DAYS[age[2]] : null,
    orientation: words(set, TAG.orientation),
    burnedIn: words(set, TAG.burnedIn) === "YES"
  };
}
function viewWords(set) {
  const item = set.elements[TAG.viewCode]?.items?.[0]?.dataSet;
  return item ? words(item, TAG.meaning) : "";
}
function rejectByHeader(header, { dicom }) {
  if (!dicom) throw notReadHere("the film is DICOM", "the machine that wrote this folder does not read DICOM (pip install 'tbconv[dicom]')");
  const { view } = header;
  const reasons = [
    ["other_modality", header.modality !== "" && !dicom.radiographs.includes(header.modality)],
    ["other_body_part", dicom.other_parts.includes(header.bodyPart)],
    ["not_for_viewing", header.intent === dicom.raw_intent],
    ["other_view", dicom.other_views.includes(view) || new RegExp(dicom.other_words).test(view)],
    ["lateral_view", dicom.lateral.includes(view) || new RegExp(dicom.lateral_words).test(view)],
    ["multi_frame", header.frames > 1]
  ];
  return reasons.find(([, holds]) => holds)?.[0] ?? null;
}
function refusePixels(header, set, rules) {
  if (!set.elements[TAG.pixels] || header.rows < 1 || header.columns < 1) throw damaged2("it holds no picture");
  const values = header.rows * header.columns * header.samples;
  if (values > rules.max_pixels || values * (header.allocated / 8) > rules.max_decoded) {
    throw filmError(
      `the film has ${header.columns} x ${header.rows} pixels of ${header.samples} x ${header.allocated} bits`,
      `a film may have ${rules.max_pixels} values in ${rules.max_decoded} bytes, so that none can fill the memory`,
      "Export the film at a side of 4,096 pixels or less."
    );
  }
  const grey = ["MONOCHROME1", "MONOCHROME2"].includes(header.photometric);
  if (!grey && header.photometric !== "RGB") {
    throw notReadHere("the film is DICOM in colours of a kind that is not read here", "grey films and RGB are");
  }
  if (header.samples !== (grey ? 1 : 3)) throw damaged2("its Photometric Interpretation contradicts its Samples per Pixel");
  if (![8, 16].includes(header.allocated) || header.stored < 1 || header.stored > header.allocated) {
    throw damaged2("a film has 8 to 16 bits a pixel, in 8 or 16");
  }
  if (header.highBit !== header.stored - 1) throw damaged2("its pixels do not lie in the lowest bits (High Bit is not Bits Stored less one)");
  if (set.elements[TAG.modalityLut] || set.elements[TAG.voiLut]) {
    throw notReadHere("the film brings a look-up table", "films with a window or without one are read here");
  }
}
function saidBy(header, { limits, child_years }) {
  const said2 = [
    [header.years !== null && header.years < child_years, limits.child],
    [header.burnedIn, limits.burned_in],
    [!["", "L\\F"].includes(header.orientation), limits.turned]
  ];
  return said2.filter(([holds]) => holds).map(([, limit]) => limit);
}
function bytesOf(set, element) {
  const data = set.byteArray;
  const end = element.dataOffset + element.length;
  if (element.hadUndefinedLength || end > data.length) throw damaged2("its picture is damaged, or shorter than its header says");
  return data.subarray(element.dataOffset, end);
}
function plain(header, set) {
  const bytes2 = bytesOf(set, set.elements[TAG.pixels]);
  const count = header.rows * header.columns * header.samples;
  const expected = count * (header.allocated / 8);
  if (bytes2.length < expected) throw damaged2("its picture is damaged, or shorter than its header says");
  if (bytes2.length > expected + 1) throw notReadHere("the film holds more than one picture's bytes", `${bytes2.length} and not ${expected}`);
  const big = header.syntax === BIG_ENDIAN;
  const allocated = header.allocated;
  if (allocated === 8) {
    if (big) throw notReadHere("the film is big-endian DICOM of 8 bits", "whether its bytes are swapped is not stated in one way");
    return { values: bytes2.subarray(0, count), bits: header.stored, allocated, signed: header.signed };
  }
  const values = new Uint16Array(count);
  for (let at = 0; at < count; at++) {
    values[at] = big ? bytes2[2 * at] << 8 | bytes2[2 * at + 1] : bytes2[2 * at] | bytes2[2 * at + 1] << 8;
  }
  return { values, bits: header.stored, allocated, signed: header.signed };
}
function packed(header, set, codec) {
  const readable = [RLE, JPEG_8, JPEG_12, ...LOSSLESS2].includes(header.syntax);
  if (!readable) throw notReadHere("the film is DICOM, compressed in a way that is not read here", `its transfer syntax is ${header.syntax || "not stated"}`);
  if (header.samples !== 1) throw notReadHere("the film is compressed DICOM in colour", "grey films are read here");
  const stream = onlyFrame(set);
  if (header.syntax === RLE) return used(unpackRle(stream, header), header.stored, header, header.allocated);
  const found = readJpegHeader(stream);
  if (found.frames !== 1 || found.width !== header.columns || found.height !== header.rows || found.samples !== 1) {
    throw damaged2("its compressed picture has another size than its header says");
  }
  if (found.precision < 2 || found.precision > 16) throw damaged2("its compressed picture has more than 16 bits, or less than 2");
  if (LOSSLESS2.includes(header.syntax) && found.lossless) {
    return used(unpackLossless(stream, header, found.precision), found.precision, header, found.precision <= 8 ? 8 : 16);
  }
  if (found.precision !== 8 || found.lossless || found.jpegLs || LOSSLESS2.includes(header.syntax)) {
    throw notReadHere("the film is DICOM, compressed in a way that is not read here", `its JPEG has ${found.precision} bits, of another process than usual`);
  }
  return used(codec.decode(stream, found).data, 8, header, 8);
}
function used(values, precision, header, allocated) {
  const mask = 2 ** precision - 1;
  const half = 2 ** (precision - 1);
  const valueOf = (code) => header.signed && (code & mask) >= half ? (code & mask) - 2 ** precision : code & mask;
  const least = header.signed ? -(2 ** (header.stored - 1)) : 0;
  let fits = true;
  const whole = allocated === 8 ? 255 : 65535;
  for (let at = 0; at < values.length; at++) {
    const value = valueOf(values[at]);
    fits &&= value >= least && value < least + 2 ** header.stored;
    values[at] = value & whole;
  }
  return { values, bits: fits ? Math.min(precision, header.stored) : precision, allocated, signed: header.signed };
}
function onlyFrame(set) {
  const element = set.elements[TAG.pixels];
  const data = set.byteArray;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (!element.hadUndefinedLength) throw damaged2("the pieces of its compressed picture do not fit together");
  const parts = [];
  let [at, items] = [element.dataOffset, 0];
  for (; ; ) {
    if (at + 8 > data.length || ++items > 1e4) throw damaged2("the pieces of its compressed picture do not fit together");
    const [group, number, length] = [view.getUint16(at, true), view.getUint16(at + 2, true), view.getUint32(at + 4, true)];
    at += 8;
    if (group === 65534 && number === 57565) break;
    if (group !== 65534 || number !== 57344 || at + length > data.length) throw damaged2("the pieces of its compressed picture do not fit together");
    if (items > 1) parts.push(data.subarray(at, at + length));
    at += length;
  }
  if (!parts.length) throw damaged2("it holds no picture");
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((to, part) => (whole.set(part, to), to + part.length), 0);
  return whole;
}
function unpackRle(stream, header) {
  const wrong = damaged2("its compressed picture is damaged");
  if (stream.length < 64) throw wrong;
  const view = new DataView(stream.buffer, stream.byteOffset, stream.byteLength);
  const planes = header.allocated / 8;
  if (view.getUint32(0, true) !== planes) throw wrong;
  const count = header.rows * header.columns;
  const out = planes === 1 ? new Uint8Array(count) : new Uint16Array(count);
  for (let plane = 0; plane < planes; plane++) {
    const start2 = view.getUint32(4 + 4 * plane, true);
    const end = plane + 1 < planes ? view.getUint32(8 + 4 * plane, true) : stream.length;
    if (start2 < 64 || end > stream.length || start2 > end) throw wrong;
    const shift = 8 * (planes - 1 - plane);
    let to = 0;
    for (let at = start2; to < count; ) {
      if (at >= end) throw wrong;
      const n = stream[at++];
      if (n === 128) continue;
      const run = n > 128 ? 257 - n : n + 1;
      if (to + run > count || n < 128 && at + run > end || at >= end) throw wrong;
      for (let i2 = 0; i2 < run; i2++) out[to++] |= (n > 128 ? stream[at] : stream[at + i2]) << shift;
      at += n > 128 ? 1 : run;
    }
  }
  return out;
}
function unpackLossless(stream, header, precision) {
  const buffer = stream.slice().buffer;
  try {
    const decoded = new Decoder().decode(buffer, 0, buffer.byteLength, precision <= 8 ? 1 : 2);
    const values = decoded instanceof Uint8Array || decoded instanceof Uint16Array ? decoded : null;
    if (values && values.length === header.rows * header.columns) return values.slice();
  } catch {
  }
  throw damaged2("its compressed picture is damaged");
}
function shown(frame, header, set, { limits: said2 }) {
  const codes = 2 ** frame.allocated;
  const size = 2 ** frame.bits;
  const mask = size - 1;
  const seen = visibleArea(header, set);
  const counts = new Float64Array(codes);
  for (let at = 0; at < frame.values.length; at++) if (!seen || seen[at]) counts[frame.values[at]]++;
  const padded = paddedCodes(frame, set, codes);
  let hidden = seen !== null;
  for (let code = 0; code < codes; code++) {
    if (!padded?.[code]) continue;
    hidden ||= counts[code] > 0;
    counts[code] = 0;
  }
  const found = new Float64Array(size);
  for (let code = 0; code < codes; code++) found[code & mask] += counts[code];
  const { levels, limits, inexact } = levelsOf2(frame, header, set, found, hidden, said2);
  const bytes2 = toBytes(levels, inexact);
  const table = new Uint8Array(codes);
  for (let code = 0; code < codes; code++) table[code] = padded?.[code] ? 0 : bytes2[code & mask];
  const pixels = new Uint8Array(frame.values.length);
  for (let at = 0; at < pixels.length; at++) pixels[at] = seen && !seen[at] ? 0 : table[frame.values[at]];
  return { pixels, limits: hidden ? [...limits, said2.hidden] : limits };
}
var asValue = (code, bits2, signed) => {
  const value = code & 2 ** bits2 - 1;
  return signed && value >= 2 ** (bits2 - 1) ? value - 2 ** bits2 : value;
};
function paddedCodes(frame, set, codes) {
  const [value, limit] = [TAG.padding, TAG.paddingLimit].map((tag) => {
    const element = set.elements[tag];
    return element && element.length >= 2 ? set.uint16(tag) & codes - 1 : null;
  });
  if (value === null) return null;
  const ends = [value, limit ?? value];
  const between = (code, bits2) => {
    const [a, b] = ends.map((end) => asValue(end, bits2, frame.signed));
    const at = asValue(code, bits2, frame.signed);
    return at >= Math.min(a, b) && at <= Math.max(a, b);
  };
  const fits = ends.every((end) => asValue(end, frame.allocated, frame.signed) === asValue(end, frame.bits, frame.signed));
  return Uint8Array.from(
    { length: codes },
    (_, code) => Number(between(code, frame.allocated) || fits && between(code, frame.bits))
  );
}
function levelsOf2(frame, header, set, counts, covered, said2) {
  const size = 2 ** frame.bits;
  const values = Float64Array.from({ length: size }, (_, code) => asValue(code, frame.bits, frame.signed));
  let modality = values;
  if (set.elements[TAG.slope] && set.elements[TAG.intercept]) {
    const [slope, intercept] = [numbers(set, TAG.slope), numbers(set, TAG.intercept)];
    if (slope.length !== 1 || intercept.length !== 1 || !Number.isFinite(slope[0] + intercept[0])) {
      throw damaged2("one of its look-up tables, windows or shutters cannot be followed");
    }
    modality = values.map((value) => value * slope[0] + intercept[0]);
  }
  let inverted = header.photometric === "MONOCHROME1";
  const window2 = windowOf(set);
  const windowed = window2?.usable ? underWindow(modality, window2) : null;
  if (windowed && shows(windowed, counts)) {
    const levels = inverted ? windowed.map((level) => 255 - level) : windowed;
    return { levels, limits: [], inexact: window2.function === "SIGMOID" };
  }
  const off = windowed ? [said2.window_off] : window2 ? [said2.window] : [];
  inverted = inverted !== modality[1] < modality[0];
  const order = Array.from(values.keys()).filter((code) => counts[code] > 0).sort((a, b) => values[a] - values[b]);
  const scale = estimateScale(
    { values: order.map((code) => values[code]), counts: order.map((code) => counts[code]) },
    { depth: frame.bits, signed: frame.signed, inverted, covered }
  );
  const limits = off.length ? off : scale.stated ? [] : [said2.no_window];
  return { levels: values.map((value) => levelOf(scale, value)), limits, inexact: scale.inexact };
}
function windowOf(set) {
  const [center, width] = [numbers(set, TAG.center)[0], numbers(set, TAG.width)[0]];
  if (center === void 0 || width === void 0) return null;
  const way = words(set, TAG.voiFunction) || "LINEAR";
  const least = { LINEAR: width >= 1, LINEAR_EXACT: width > 0, SIGMOID: width > 0 };
  return { center, width, function: way, usable: Number.isFinite(center) && Number.isFinite(width) && Boolean(least[way]) };
}
function underWindow(values, window2) {
  if (window2.function === "SIGMOID") {
    return values.map((value) => clamp(255 / (1 + Math.exp(-4 * (value - window2.center) / window2.width)), 0, 255));
  }
  const linear = window2.function === "LINEAR";
  const center = linear ? window2.center - 0.5 : window2.center;
  const width = linear ? window2.width - 1 : window2.width;
  return values.map((value) => {
    if (value <= center - width / 2) return 0;
    if (value > center + width / 2) return 255;
    return clamp(((value - center) / width + 0.5) * 255, 0, 255);
  });
}
function shows(levels, counts) {
  let [inside, all] = [0, 0];
  for (let code = 0; code < levels.length; code++) {
    all += counts[code];
    if (levels[code] > 0 && levels[code] < 255) inside += counts[code];
  }
  return inside >= LEAST_INSIDE * all;
}
function visibleArea(header, set) {
  const shapes = words(set, TAG.shutter).split("\\").filter(Boolean);
  let seen = null;
  for (const shape of shapes) {
    if (shape === "POLYGONAL" || shape === "BITMAP") {
      throw notReadHere("the film has a shutter of a kind that is not read here", "rectangles and circles are");
    }
    const mask = shape === "RECTANGULAR" ? rectangle(header, set) : shape === "CIRCULAR" ? circle(header, set) : null;
    if (!mask) continue;
    seen = seen ? seen.map((one, at) => one & mask[at]) : mask;
  }
  return seen && seen.includes(0) ? seen : null;
}
function finite(found) {
  if (found.some(Number.isNaN)) throw damaged2("one of its look-up tables, windows or shutters cannot be followed");
  return found;
}
function rectangle({ rows: rows2, columns }, set) {
  const edges = [TAG.left, TAG.right, TAG.upper, TAG.lower].map((tag) => finite(numbers(set, tag)));
  if (edges.some((edge) => !edge.length)) return null;
  const [left, right, upper, lower] = edges.map(([edge]) => Math.trunc(edge));
  const seen = new Uint8Array(rows2 * columns);
  for (let y = Math.max(0, upper - 1); y < Math.min(rows2, lower); y++) {
    const [from, to] = [Math.max(0, left - 1), Math.min(columns, right)];
    if (from < to) seen.fill(1, y * columns + from, y * columns + to);
  }
  return seen;
}
function circle({ rows: rows2, columns }, set) {
  const [center, radius] = [finite(numbers(set, TAG.circle)), finite(numbers(set, TAG.radius))];
  if (center.length !== 2 || !radius.length) return null;
  const seen = new Uint8Array(rows2 * columns);
  const square = (at, middle) => Math.fround(Math.fround(at - middle) ** 2);
  const across = Float32Array.from({ length: columns }, (_, x2) => square(x2 + 1, center[1]));
  for (let y = 0; y < rows2; y++) {
    const down = square(y + 1, center[0]);
    for (let x2 = 0; x2 < columns; x2++) {
      seen[y * columns + x2] = Number(Math.fround(down + across[x2]) <= Math.fround(radius[0] ** 2));
    }
  }
  return seen;
}
function ofColours(header, set, said2, { limits }) {
  if (!PLAIN.includes(header.syntax) || header.allocated !== 8 || header.stored !== 8 || header.signed) {
    throw notReadHere("the film is DICOM in colour of a kind that is not read here", "plain RGB of 8 bits is");
  }
  const { values } = plain(header, set);
  const count = header.rows * header.columns;
  const data = new Uint8Array(3 * count);
  for (let at = 0; at < count; at++) {
    for (let channel = 0; channel < 3; channel++) {
      data[3 * at + channel] = header.planar === 1 ? values[channel * count + at] : values[3 * at + channel];
    }
  }
  const { pixels, chroma, tinted } = greyOf({ data, channels: 3, width: header.columns, height: header.rows });
  return { grey: { pixels, width: header.columns, height: header.rows }, chroma, limits: tinted ? [...said2, limits.tint] : said2 };
}

// src/film/png.ts
init_define_WASM();
var CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
var DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
var MAX_CHUNKS = 16e3;
var MAX_TEXTS = 8;
var MAX_TEXT = 1 << 20;
var XMP2 = "XML:com.adobe.xmp";
var STATES_ORIENTATION = /* @__PURE__ */ new Set(["exif", "xmp", "Raw profile type exif", XMP2]);
var CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? n >>> 1 ^ 3988292384 : n >>> 1;
  return n >>> 0;
});
function crcOf(data) {
  let crc = 4294967295;
  for (let at = 0; at < data.length; at++) crc = CRC[(crc ^ data[at]) & 255] ^ crc >>> 8;
  return (crc ^ 4294967295) >>> 0;
}
var latin = (data) => String.fromCharCode(...data);
function decodePng(file, allow) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found = { width: 0, height: 0, depth: 8, colour: 0, data: new Uint8Array(), palette: null, alphas: null, exif: null, xmp: null };
  const packed2 = [];
  let [place, chunks, texts, interlaced, ended] = [8, 0, 0, false, false];
  while (!ended) {
    if (place + 12 > file.length) throw damaged("the file ends before the picture does");
    if (++chunks > MAX_CHUNKS) throw tooManyParts2();
    const length = view.getUint32(place);
    const end = place + 12 + length;
    if (end > file.length) throw damaged("the file ends before the picture does");
    const kind = latin(file.subarray(place + 4, place + 8));
    const data = file.subarray(place + 8, end - 4);
    if (crcOf(file.subarray(place + 4, end - 4)) !== view.getUint32(end - 4)) throw damaged(`its chunk ${kind} has a wrong checksum`);
    if (chunks === 1 && kind !== "IHDR") throw damaged("it does not begin with its header");
    if (["iTXt", "zTXt", "iCCP"].includes(kind) && ++texts > MAX_TEXTS) throw tooManyParts2();
    if (kind === "IHDR") interlaced = readHeader2(data, found, chunks, allow);
    else if (kind === "PLTE") found.palette = data;
    else if (kind === "tRNS") found.alphas = data;
    else if (kind === "IDAT") packed2.push(data);
    else if (kind === "eXIf") found.exif = data;
    else if (kind === "acTL") throw notReadHere("the film is an animated PNG", "a film is one picture");
    else if (kind === "iTXt") readText(data, found);
    else if (kind === "tEXt" || kind === "zTXt") refuseOrientation(data);
    else if (kind === "IEND") ended = true;
    place = end;
  }
  found.data = interlaced ? deinterlaced(found, unpack(packed2, sizeOfPasses(found))) : rows(found, unpack(packed2, sizeOf(found.width, found.height, found)));
  return found;
}
var tooManyParts2 = () => filmError("the film is made of too many parts", "each of its parts costs memory or time, and no film has as many", "Export the film again, without its notes.");
function readHeader2(data, found, chunk, allow) {
  if (data.length !== 13 || chunk !== 1) throw damaged("its header has another length than a PNG's");
  const view = new DataView(data.buffer, data.byteOffset, 13);
  [found.width, found.height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, colour, packing, filter, interlace] = data.subarray(8);
  if (!found.width || !found.height || !DEPTHS[colour]?.includes(depth) || packing || filter || interlace > 1) {
    throw damaged("its header holds values that no PNG has");
  }
  found.depth = depth;
  found.colour = colour;
  const samples = CHANNELS[colour];
  const bytes2 = found.width * found.height * (colour === 4 && depth === 16 ? 4 : samples) * (depth === 16 && samples === 1 ? 2 : 1);
  allow({ width: found.width, height: found.height, samples, bytes: bytes2 });
  return interlace === 1;
}
function keyword(data) {
  const end = data.indexOf(0);
  if (end < 0) return [latin(data.subarray(0, 80)), data.length];
  return [latin(data.subarray(0, end)), end + 1];
}
function refuseOrientation(data) {
  const [word] = keyword(data);
  if (STATES_ORIENTATION.has(word)) {
    throw notReadHere("the film's PNG states its orientation in an unusual way", `in a text named ${word}`);
  }
}
function readText(data, found) {
  const [word, start2] = keyword(data);
  if (word !== XMP2) return refuseOrientation(data);
  const compressed = data[start2];
  let at = start2 + 2;
  for (let skip = 0; skip < 2; skip++) at = data.indexOf(0, at) + 1 || data.length;
  const text = data.subarray(at);
  if (!compressed) found.xmp = text;
  else {
    const unpacked2 = inflateBounded([text], MAX_TEXT);
    if (!unpacked2) throw tooManyParts2();
    found.xmp = unpacked2;
  }
}
var sizeOf = (width, height, { depth, colour }) => width && height ? height * (1 + Math.ceil(width * CHANNELS[colour] * depth / 8)) : 0;
var PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
var passSize = (png, [x2, y, dx, dy]) => [
  Math.max(0, Math.ceil((png.width - x2) / dx)),
  Math.max(0, Math.ceil((png.height - y) / dy))
];
var sizeOfPasses = (png) => PASSES.reduce((sum, pass) => sum + sizeOf(...passSize(png, pass), png), 0);
function inflateBounded(parts, most) {
  const whole = joined(parts);
  if (whole.length < 6 || (whole[0] & 15) !== 8 || (whole[0] << 8 | whole[1]) % 31 || whole[1] & 32) {
    throw damaged("its compressed data do not begin as zlib's do");
  }
  const out = [];
  let size = 0;
  try {
    const stream = new Inflate((data) => {
      size += data.length;
      if (size <= most) out.push(data);
    });
    const STEP = 1 << 16;
    for (let at = 2; at < whole.length && size <= most; at += STEP) {
      stream.push(whole.subarray(at, Math.min(whole.length, at + STEP)), at + STEP >= whole.length);
    }
  } catch {
    throw damaged("its compressed data cannot be unpacked");
  }
  return size > most ? null : joined(out);
}
function joined(parts) {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
function unpack(parts, expected) {
  if (!parts.length) throw damaged("it holds no picture");
  const whole = joined(parts);
  if (whole.length < 6 || (whole[0] & 15) !== 8 || (whole[0] << 8 | whole[1]) % 31 || whole[1] & 32) {
    throw damaged("its compressed data do not begin as zlib's do");
  }
  let data;
  try {
    data = inflateSync(whole.subarray(2), { out: new Uint8Array(expected + 1) });
  } catch {
    throw damaged("its compressed picture cannot be unpacked, or is longer or shorter than its header says");
  }
  if (data.length !== expected) throw damaged("its compressed picture is longer or shorter than its header says");
  return data;
}
function rows(png, raw, width = png.width, height = png.height, start2 = 0) {
  const channels = CHANNELS[png.colour];
  const stride = Math.ceil(width * channels * png.depth / 8);
  const step = Math.max(1, channels * png.depth >> 3);
  const out = png.depth === 16 ? new Uint16Array(width * height * channels) : new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const at = start2 + y * (stride + 1) + 1;
    unfilter(raw, at, stride, step, raw[at - 1], y > 0 ? at - stride - 1 : -1);
    takeRow(raw, at, png.depth, out, y * width * channels, width * channels);
  }
  return out;
}
function unfilter(raw, at, stride, step, filter, above) {
  if (filter === 0) return;
  if (filter > 4) throw damaged("a row is filtered in a way that PNG does not have");
  for (let x2 = 0; x2 < stride; x2++) {
    const left = x2 >= step ? raw[at + x2 - step] : 0;
    const up = above >= 0 ? raw[above + x2] : 0;
    const corner = above >= 0 && x2 >= step ? raw[above + x2 - step] : 0;
    const guess = filter === 1 ? left : filter === 2 ? up : filter === 3 ? left + up >> 1 : paeth(left, up, corner);
    raw[at + x2] += guess;
  }
}
function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
function takeRow(raw, at, depth, out, to, n) {
  if (depth === 8) out.set(raw.subarray(at, at + n), to);
  else if (depth === 16) for (let x2 = 0; x2 < n; x2++) out[to + x2] = raw[at + 2 * x2] << 8 | raw[at + 2 * x2 + 1];
  else for (let x2 = 0; x2 < n; x2++) {
    const bit = x2 * depth;
    out[to + x2] = raw[at + (bit >> 3)] >> 8 - depth - (bit & 7) & (1 << depth) - 1;
  }
}
function deinterlaced(png, raw) {
  const channels = CHANNELS[png.colour];
  const size = png.width * png.height * channels;
  const out = png.depth === 16 ? new Uint16Array(size) : new Uint8Array(size);
  let start2 = 0;
  for (const pass of PASSES) {
    const [width, height] = passSize(png, pass);
    if (!width || !height) continue;
    const part = rows(png, raw, width, height, start2);
    const [x0, y0, dx, dy] = pass;
    for (let y = 0; y < height; y++) {
      for (let x2 = 0; x2 < width; x2++) {
        const to = ((y0 + y * dy) * png.width + x0 + x2 * dx) * channels;
        for (let channel = 0; channel < channels; channel++) out[to + channel] = part[(y * width + x2) * channels + channel];
      }
    }
    start2 += sizeOf(width, height, png);
  }
  return out;
}

// src/film/kinds.ts
init_define_WASM();
var STARTS = [
  ["%PDF", "a PDF"],
  ["GIF8", "a GIF"],
  ["BM", "a BMP"],
  ["II*\0", "a TIFF"],
  ["MM\0*", "a TIFF"],
  ["PK", "a ZIP archive"],
  ["", "a gzip archive"],
  ["7z¼¯", "a 7z archive"],
  ["Rar!", "a RAR archive"],
  ["\0\0\0\fjP", "a JPEG 2000"],
  ["ÿOÿQ", "a JPEG 2000"],
  ["RIFF", "a WebP or another RIFF file"],
  ["version https://git-lfs", "a Git LFS pointer, not the file itself (git lfs pull fetches it)"]
];
function whatItIs(data) {
  if (!data.length) return "the file is empty";
  const head = String.fromCharCode(...data.subarray(0, 512));
  const kind = STARTS.find(([start2]) => head.startsWith(start2))?.[1];
  const text = head.trimStart().toLowerCase();
  const page = /^(<!doctype html|<html|<head|<body)/.test(text) ? "a web page (HTML), as a download that needs a login leaves it" : null;
  const bare = /^[\x02\x08]\0/.test(head) ? "DICOM without its usual preamble, which a tbconv server reads" : null;
  return `its first bytes are those of ${kind ?? page ?? bare ?? "none of them"}`;
}

// src/film/open.ts
var HIGH2 = 5e-3;
function openFilm(data, rules, codec) {
  if (begins(data, [137, 80, 78, 71, 13, 10, 26, 10])) return { film: openPng(data, rules) };
  if (begins(data, [255, 216, 255])) return { film: openJpeg(data, rules, codec) };
  if (looksLikeDicom(data)) return openDicom(data, rules, codec);
  throw filmError("the film is not a PNG, JPEG or DICOM file", whatItIs(data), "Export it as one of them.");
}
var begins = (data, start2) => start2.every((byte, at) => data[at] === byte);
function allowing({ max_pixels, max_decoded }) {
  return ({ width, height, bytes: bytes2 }) => {
    if (width * height > max_pixels) {
      throw filmError(`the film has ${width} x ${height} pixels`, `a film may have ${max_pixels} pixels, so that none can fill the memory`, "Export the film at a side of 4,096 pixels or less.");
    }
    if (bytes2 > max_decoded) {
      throw filmError(`the film has ${bytes2} bytes of pixels`, `a film may have ${max_decoded}, so that none can fill the memory`, "Export the film in grey, or at a side of 4,096 pixels or less.");
    }
  };
}
function openPng(data, rules) {
  const png = decodePng(data, allowing(rules));
  const orientation = orientationOf(png.exif, png.xmp);
  if (png.colour === 0) return openGreyPng(png, orientation, rules);
  const { data: stored, channels } = coloursOf(png);
  const turned = upright(stored, png.width, png.height, channels, orientation);
  const picture = { data: turned.data, channels, width: turned.width, height: turned.height, indexed: png.colour === 3 };
  if (png.colour === 4 && png.depth === 8) {
    const { pixels: pixels2 } = greyOf(picture);
    return { grey: { pixels: pixels2, width: turned.width, height: turned.height }, chroma: 0, limits: [] };
  }
  const { pixels, chroma, tinted } = greyOf(picture);
  if (png.depth === 16) refuseDark(pixels, turned.width, turned.height);
  return { grey: { pixels, width: turned.width, height: turned.height }, chroma, limits: tinted ? [rules.limits.tint] : [] };
}
function openGreyPng(png, orientation, { limits }) {
  const { data, width, height } = upright(png.data, png.width, png.height, 1, orientation);
  if (data instanceof Uint16Array) {
    const counts = new Float64Array(65536);
    for (let at = 0; at < data.length; at++) counts[data[at]]++;
    const scale = estimateScale(occurring(counts), { depth: 16 });
    const levels = toBytes(Float64Array.from({ length: 65536 }, (_, value) => levelOf(scale, value)), scale.inexact);
    const pixels2 = new Uint8Array(data.length);
    for (let at = 0; at < data.length; at++) pixels2[at] = levels[data[at]];
    return { grey: { pixels: pixels2, width, height }, chroma: 0, limits: scale.stated ? [] : [limits.depth] };
  }
  const factor = { 1: 255, 2: 85, 4: 17, 8: 1, 16: 1 }[png.depth];
  const pixels = factor === 1 ? data : data.map((value) => value * factor);
  return { grey: { pixels, width, height }, chroma: 0, limits: [] };
}
function coloursOf(png) {
  const count = png.width * png.height;
  const { data } = png;
  const shift = png.depth === 16 ? 8 : 0;
  if (png.colour === 2 || png.colour === 6) {
    const channels2 = png.colour === 2 ? 3 : 4;
    return { data: data instanceof Uint8Array ? data : Uint8Array.from(data, (value) => value >> shift), channels: channels2 };
  }
  const out = new Uint8Array(4 * count);
  if (png.colour === 4) {
    for (let at = 0; at < count; at++) {
      const grey = data[2 * at] >> shift;
      out.set([grey, grey, grey, data[2 * at + 1] >> shift], 4 * at);
    }
    return { data: out, channels: 4 };
  }
  const { palette, alphas } = png;
  if (!palette || palette.length % 3) throw filmError("the film is damaged", "its pixels are numbers of a palette that it lacks", "Export or download the film again.");
  const entries = palette.length / 3;
  const channels = alphas ? 4 : 3;
  const colours = new Uint8Array(channels * count);
  for (let at = 0; at < count; at++) {
    const entry = data[at];
    if (entry >= entries) throw notReadHere("the film's PNG uses colours that its palette does not have", `it has ${entries}`);
    for (let channel = 0; channel < 3; channel++) colours[channels * at + channel] = palette[3 * entry + channel];
    if (alphas) colours[4 * at + 3] = entry < alphas.length ? alphas[entry] : 255;
  }
  return { data: colours, channels };
}
function refuseDark(pixels, width, height) {
  const counts = new Float64Array(256);
  for (let y = 0; y < height; y += 4) for (let x2 = 0; x2 < width; x2 += 4) counts[pixels[y * width + x2]]++;
  const until = cumulative(counts);
  const bright = quantile((place) => searchSorted(until, place, "right"), until[255], 1 - HIGH2);
  if (bright < 255 / 2) {
    throw filmError("the film is a PNG of 16 bits in colour or with alpha", "its values lie in the lower half of 16 bits, and of several channels only the upper 8 bits are read", "Export it in grey.");
  }
}
function openJpeg(data, rules, codec) {
  const header = readJpegHeader(data);
  if (header.lossless || header.jpegLs || header.precision > 8) {
    throw notReadHere("the film is a JPEG of more than 8 bits, or lossless", "the usual process of 8 bits is read here");
  }
  if (header.frames !== 1) throw notReadHere("the film is a JPEG of several pictures, or of none", `it has ${header.frames}`);
  const { width, height, samples } = header;
  allowing(rules)({ width, height, samples, bytes: width * height * samples });
  const decoded = codec.decode(data, header);
  const turned = upright(decoded.data, width, height, decoded.channels, orientationOf(header.exif, header.xmp));
  const size = { width: turned.width, height: turned.height };
  if (decoded.channels === 1) return { grey: { pixels: turned.data, ...size }, chroma: 0, limits: [] };
  const { pixels, chroma, tinted } = greyOf({ data: turned.data, channels: 3, ...size });
  return { grey: { pixels, ...size }, chroma, limits: tinted ? [rules.limits.tint] : [] };
}

// src/film/resize.ts
init_define_WASM();
var PRECISION = 22;
var FILTERS = {
  bilinear: { support: 1, weight: (x2) => Math.max(0, 1 - Math.abs(x2)) },
  box: { support: 0.5, weight: (x2) => x2 > -0.5 && x2 <= 0.5 ? 1 : 0 }
};
function weightsOf(from, to, filter) {
  const { support: reach, weight } = FILTERS[filter];
  const scale = from / to;
  const filterScale = Math.max(scale, 1);
  const support = reach * filterScale;
  const inverse = 1 / filterScale;
  const most = Math.ceil(support) * 2 + 1;
  const found = {
    first: new Int32Array(to),
    count: new Int32Array(to),
    values: new Int32Array(to * most),
    most
  };
  const raw = new Float64Array(most);
  for (let at = 0; at < to; at++) {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(from, Math.trunc(centre + support + 0.5)) - first;
    let total = 0;
    for (let tap = 0; tap < count; tap++) {
      raw[tap] = weight((tap + first - centre + 0.5) * inverse);
      total += raw[tap];
    }
    for (let tap = 0; tap < count; tap++) {
      const share = total !== 0 ? raw[tap] / total : raw[tap];
      found.values[at * most + tap] = Math.trunc(0.5 + share * (1 << PRECISION));
    }
    found.first[at] = first;
    found.count[at] = count;
  }
  return found;
}
function resize(grey, width, height, filter = "bilinear") {
  const across = width === grey.width ? grey.pixels : alongRows(grey, weightsOf(grey.width, width, filter), width);
  if (height === grey.height) return { pixels: across.slice(), width, height };
  return { pixels: alongColumns(across, width, height, weightsOf(grey.height, height, filter)), width, height };
}
function alongRows({ pixels, width, height }, { first, count, values, most }, to) {
  const out = new Uint8Array(to * height);
  for (let y = 0; y < height; y++) {
    for (let x2 = 0; x2 < to; x2++) {
      const from = y * width + first[x2];
      const weights = x2 * most;
      let sum = 1 << PRECISION - 1;
      for (let tap = 0; tap < count[x2]; tap++) sum += values[weights + tap] * pixels[from + tap];
      out[y * to + x2] = sum >> PRECISION;
    }
  }
  return out;
}
function alongColumns(pixels, width, to, weights) {
  const out = new Uint8Array(width * to);
  const { first, count, values, most } = weights;
  const sums = new Float64Array(width);
  for (let y = 0; y < to; y++) {
    sums.fill(1 << PRECISION - 1);
    for (let tap = 0; tap < count[y]; tap++) {
      const row = (first[y] + tap) * width;
      const value = values[y * most + tap];
      for (let x2 = 0; x2 < width; x2++) sums[x2] += value * pixels[row + x2];
    }
    for (let x2 = 0; x2 < width; x2++) out[y * width + x2] = sums[x2] >> PRECISION;
  }
  return out;
}
function modelInput({ pixels, width, height }, size) {
  const side = Math.max(width, height);
  const square = new Uint8Array(side * side);
  const left = side - width >> 1;
  const top = side - height >> 1;
  for (let y = 0; y < height; y++) {
    square.set(pixels.subarray(y * width, (y + 1) * width), (top + y) * side + left);
  }
  return resize({ pixels: square, width: side, height: side }, size, size).pixels;
}

// src/gate.ts
init_define_WASM();
var SIDE = 64;
var CELLS2 = 8;
var DIRECTIONS = 8;
var GREYS = 16;
var EDGES = CELLS2 * CELLS2 * DIRECTIONS;
var SAMPLED = 4 * SIDE;
var FLAT = 4;
var ROUNDING2 = 1e-3;
var Gate = class {
  constructor(stated, likeness) {
    this.stated = stated;
    this.likeness = likeness;
    this.hidden = unpacked(likeness.hidden);
    this.bias = unpacked(likeness.hidden_bias);
    this.output = unpacked(likeness.output);
  }
  stated;
  likeness;
  hidden;
  bias;
  output;
  /** Return the code of the reason why a picture is no upright frontal chest film, or null. */
  refuse({ grey, chroma }) {
    const { level, rules } = this.stated;
    if (level === "off") return null;
    const [shorter, longer] = [Math.min(grey.width, grey.height), Math.max(grey.width, grey.height)];
    const small2 = thumbnail(grey);
    if (shorter < rules.min_side) return "too_small";
    if (longer > rules.max_aspect * shorter) return "wrong_shape";
    if (chroma > rules.max_chroma) return "colour_photograph";
    const contrast = deviationOf(small2);
    if (Math.abs(contrast - rules.min_contrast) < 1e-9) throw tooClose("the picture's contrast");
    if (contrast < rules.min_contrast) return "blank";
    return level === "basic" ? null : this.byLikeness(describe(small2));
  }
  /** The score of a film, a logit: the higher, the more like an upright frontal film. */
  score(grey) {
    return this.scoreOf(describe(thumbnail(grey)));
  }
  byLikeness(numbers2) {
    const bound = this.likeness.threshold;
    const { sure } = this.stated.rules;
    const own = this.scoreOf(numbers2);
    if (Math.abs(own - bound) < ROUNDING2) throw tooClose("the picture's likeness to a chest film");
    if (own > bound) return null;
    const turned = [0, 1, 2, 3].map((quarters) => turn(numbers2, quarters));
    const scores = [...turned, ...turned.map(invert)].map((one) => this.scoreOf(one));
    const best = scores.indexOf(Math.max(...scores));
    const reasonOf = (at) => at === 0 ? "not_a_chest_film" : at < 4 ? "turned" : "inverted";
    if (Math.abs(scores[best] - bound - sure) < ROUNDING2) throw tooClose("the picture's likeness to a turned film");
    if (scores[best] < bound + sure) return "not_a_chest_film";
    const rivals = scores.flatMap((one, at) => scores[best] - one < ROUNDING2 ? [reasonOf(at)] : []);
    if (new Set(rivals).size > 1) throw tooClose("the picture's likeness to a turned film");
    return reasonOf(best);
  }
  scoreOf(numbers2) {
    const units = this.bias.slice();
    for (let at = 0; at < numbers2.length; at++) {
      for (let unit = 0; unit < units.length; unit++) units[unit] += numbers2[at] * this.hidden[at * units.length + unit];
    }
    return units.reduce((sum, unit, at) => sum + Math.max(unit, 0) * this.output[at], this.likeness.output_bias);
  }
};
function thumbnail({ pixels, width, height }) {
  const [down, across] = [height, width].map((side) => Math.max(1, Math.floor(side / SAMPLED)));
  const [w, h] = [Math.ceil(width / across), Math.ceil(height / down)];
  const thinned = new Uint8Array(w * h);
  for (let y = 0; y < h; y++) for (let x2 = 0; x2 < w; x2++) thinned[y * w + x2] = pixels[y * down * width + x2 * across];
  return resize({ pixels: thinned, width: w, height: h }, SIDE, SIDE).pixels;
}
function describe(small2) {
  const mean = small2.reduce((sum, grey) => sum + grey, 0) / small2.length;
  const contrast = deviationOf(small2);
  const greys = Float64Array.from(small2, (grey) => (grey - mean) / (contrast + FLAT));
  const numbers2 = new Float64Array(EDGES + GREYS * GREYS);
  edgesInto(numbers2, greys);
  cellMeans(greys, GREYS).forEach((mean2, at) => numbers2[EDGES + at] = Math.min(3, Math.max(-3, mean2)));
  return numbers2;
}
function edgesInto(numbers2, greys) {
  const strength = Array.from({ length: DIRECTIONS }, () => new Float64Array(SIDE * SIDE));
  const compass = Array.from({ length: DIRECTIONS }, (_, at) => {
    const angle = at * 2 * Math.PI / DIRECTIONS;
    return [Math.fround(Math.cos(angle)), Math.fround(Math.sin(angle))];
  });
  for (let y = 0; y < SIDE; y++) {
    for (let x2 = 0; x2 < SIDE; x2++) {
      const at = y * SIDE + x2;
      const dx = x2 > 0 && x2 < SIDE - 1 ? greys[at + 1] - greys[at - 1] : 0;
      const dy = y > 0 && y < SIDE - 1 ? greys[at + SIDE] - greys[at - SIDE] : 0;
      const steepness = Math.sqrt(dx * dx + dy * dy);
      compass.forEach(([cx, cy], direction) => {
        const along = Math.max(cx * dx + cy * dy, 0);
        strength[direction][at] = along * along / (steepness + 1e-3);
      });
    }
  }
  strength.forEach((map, direction) => numbers2.set(cellMeans(map, CELLS2), direction * CELLS2 * CELLS2));
  let sum = 0;
  for (let at = 0; at < EDGES; at++) sum += numbers2[at];
  const mean = sum / EDGES;
  for (let at = 0; at < EDGES; at++) numbers2[at] = Math.sqrt(numbers2[at] / (mean + 1e-3));
}
function cellMeans(map, cells) {
  const width = SIDE / cells;
  const means = new Float64Array(cells * cells);
  for (let y = 0; y < SIDE; y++) {
    for (let x2 = 0; x2 < SIDE; x2++) means[Math.floor(y / width) * cells + Math.floor(x2 / width)] += map[y * SIDE + x2];
  }
  return means.map((sum) => sum / (width * width));
}
function turn(numbers2, quarters) {
  const out = new Float64Array(numbers2.length);
  const shift = quarters * DIRECTIONS / 4;
  for (let direction = 0; direction < DIRECTIONS; direction++) {
    const from = (direction + shift) % DIRECTIONS;
    out.set(rotated(numbers2.subarray(from * CELLS2 * CELLS2, (from + 1) * CELLS2 * CELLS2), CELLS2, quarters), direction * CELLS2 * CELLS2);
  }
  out.set(rotated(numbers2.subarray(EDGES), GREYS, quarters), EDGES);
  return out;
}
function rotated(map, side, quarters) {
  let found = Float64Array.from(map);
  for (let turned = 0; turned < quarters; turned++) {
    const before = found;
    found = Float64Array.from(before, (_, at) => before[at % side * side + side - 1 - Math.floor(at / side)]);
  }
  return found;
}
function invert(numbers2) {
  const out = new Float64Array(numbers2.length);
  const shift = DIRECTIONS / 2;
  for (let direction = 0; direction < DIRECTIONS; direction++) {
    const from = (direction - shift + DIRECTIONS) % DIRECTIONS;
    out.set(numbers2.subarray(from * CELLS2 * CELLS2, (from + 1) * CELLS2 * CELLS2), direction * CELLS2 * CELLS2);
  }
  for (let at = EDGES; at < numbers2.length; at++) out[at] = -numbers2[at];
  return out;
}

// src/guard.ts
init_define_WASM();
var IDENTITY = 1e-4;
var PROBABILITY_STEPS = 2 / 256;
var SIGMOID = 1e-6;
var REMEMBERED = 1024;
var PROVE_EVERY = 32;
var NAMES = ["logits", "probability", "evidence"];
var GuardedNetwork = class {
  constructor(network, known, rules) {
    this.network = network;
    this.known = known;
    this.rules = rules;
  }
  network;
  known;
  rules;
  vouched = [];
  seen = /* @__PURE__ */ new Map();
  // outputs -> the input that had them
  answers = 0;
  next = 0;
  allowed = IDENTITY;
  /** Run every golden film, each of them after another one, and the first once more at the end. */
  async prove(step) {
    const films = this.known.filter((one) => one.outputs !== null);
    if (films.length < 2) throw proofError("the folder has too few golden films", "one answer cannot tell whether a second one is its own");
    for (const one of [...films, films[0]]) {
      step(one.name);
      await this.repeat(one);
    }
    this.vouched = films;
    this.allowed = Math.max(IDENTITY, 2 * Math.max(...films.map(({ outputs }) => identityError(outputs))));
  }
  /** What a golden film is answered: as it was recorded, or, where nothing was, as this browser answers it now. */
  async answersOf(known) {
    return known.outputs ?? this.network.run(known.input);
  }
  /** Answer one model input. */
  async run(input) {
    let outputs = await this.network.run(input);
    const suspicion = this.suspicionOf(input, outputs);
    if (suspicion) {
      const golden = this.vouched.find((one) => !sameBytes(one.input, input)) ?? this.vouched[0];
      await this.repeat(golden, suspicion);
      const again = await this.network.run(input);
      const moved = differenceOf(outputs, again);
      if (moved) throw proofError("the network does not answer a film twice alike", `${suspicion}; ${moved}`);
      if (sameBits(again, golden.outputs)) throw proofError("the network answers another film", `${suspicion}; it gave the answer of golden film ${golden.name}`);
      outputs = again;
    }
    this.check(outputs);
    this.remember(input, outputs);
    this.answers += 1;
    if (this.answers % PROVE_EVERY === 0) {
      await this.repeat(this.vouched[this.next], `the last ${PROVE_EVERY} answers came since it was right`);
      this.next = (this.next + 1) % this.vouched.length;
    }
    return outputs;
  }
  close() {
    this.network.close();
  }
  async repeat({ name, input, outputs }, since) {
    const found = await this.network.run(input);
    const difference = differenceOf(outputs, found);
    if (!difference) return;
    throw proofError(
      `golden film ${name} is answered differently in this browser`,
      since ? `${difference}; ${since}` : difference,
      "Use another browser, or screen at a tbconv server; if it stays in all of them, write the folder again: tbconv page BUNDLE --out SITE"
    );
  }
  suspicionOf(input, outputs) {
    if (NAMES.every((name) => outputs[name].every((value) => value === 0))) return "all its outputs are 0";
    const before = this.seen.get(keyOf(outputs)) ?? this.vouched.find((one) => sameBits(one.outputs, outputs) && !sameBytes(one.input, input))?.name;
    return before !== void 0 && before !== digestOf(input) ? "it gave the very answer of another film" : null;
  }
  /** What holds of every answer of a sound network, whatever the film. */
  check(outputs) {
    for (const name of NAMES) {
      if (!outputs[name].every(Number.isFinite)) throw proofError("the network returned an invalid output", `${name} held NaN or infinity`);
    }
    const error = identityError(outputs);
    if (error > this.allowed) {
      throw proofError("the network returned an invalid output", `the margin and the mean of its map are ${error.toExponential(1)} apart, allowed are ${this.allowed.toExponential(1)}`);
    }
    const [low, high] = this.rules.margins;
    const margin = marginOf(outputs);
    if (!(margin >= low && margin <= high)) {
      throw filmError("the network's answer to this film is not believed", `its margin ${margin.toPrecision(3)} lies outside ${low.toPrecision(3)} to ${high.toPrecision(3)}`, "Have a person read the film.");
    }
    const apart = Math.abs(outputs.probability[0] - probabilityOf(margin, this.rules));
    if (apart > PROBABILITY_STEPS) {
      throw proofError("the network returned an invalid output", `its probability is ${apart.toExponential(1)} off that of its margin`);
    }
  }
  remember(input, outputs) {
    if (this.seen.size >= REMEMBERED) this.seen.delete(this.seen.keys().next().value);
    this.seen.set(keyOf(outputs), digestOf(input));
  }
};
function identityError(outputs) {
  const mean = outputs.evidence.reduce((sum, value) => sum + value, 0) / outputs.evidence.length;
  return Math.abs(marginOf(outputs) - mean);
}
function differenceOf(then, now) {
  for (const name of NAMES) {
    const [a, b] = [then[name], now[name]];
    if (a.length !== b.length) return `${name} has ${b.length} values and not ${a.length}`;
    const apart = name === "probability" ? (x2, y) => !(Math.abs(x2 - y) <= SIGMOID) : (x2, y) => !Object.is(x2, y);
    const at = a.findIndex((value, index) => apart(value, b[index]));
    if (at >= 0) return `${name}[${at}] is ${b[at]}, it was ${a[at]}`;
  }
  return null;
}
var sameBits = (one, other) => differenceOf(one, other) === null;
var sameBytes = (one, other) => one.every((value, at) => value === other[at]);
var keyOf = (outputs) => NAMES.map((name) => outputs[name].join()).join("|");
function digestOf(input) {
  let [a, b] = [2166136261, 16777619];
  for (let at = 0; at < input.length; at++) {
    a = Math.imul(a ^ input[at], 16777619);
    b = Math.imul(b ^ input[at], 2246822507) + at;
  }
  return `${a >>> 0}.${b >>> 0}`;
}

// src/reference.ts
init_define_WASM();
var PERCENTILES = [1, 5, 25, 50, 75, 95, 99];
var [NARROW, TRIANGLE, OUTER] = [0.014, 0.11, 0.2];
var [BLACK, WHITE, STEEP, LINE] = [3, 250, 90, 20];
var SMALL = 1e-4;
var SIDES = 28;
var ROUNDING3 = 1e-4;
var Reference = class {
  constructor(stated) {
    this.stated = stated;
    const { middle, low, high, mean, whitening, most, sides } = stated;
    const packed2 = Object.entries({ middle, low, high, mean, whitening, most, sides });
    this.arrays = Object.fromEntries(packed2.map(([name, array]) => [name, unpacked(array)]));
  }
  stated;
  arrays;
  /** What an answer has to say of how its film looks and how near its margin came to the threshold. */
  limits(film, side, margin, threshold) {
    const { words: words2, least_side } = this.stated;
    const said2 = [];
    const kinds = this.unlike(describeFilm(film, side));
    if (kinds.length) said2.push(`${words2.unlike[0]}${kinds.join(", ")}${words2.unlike[1]}`);
    const sides = sideScore(film, side, this.arrays.sides);
    if (Math.abs(sides - least_side) < ROUNDING3 * Math.max(1, Math.abs(least_side))) throw tooClose("whether the film is mirrored");
    if (sides < least_side) said2.push(words2.mirrored);
    if (words2.near && Math.abs(margin - threshold) <= words2.near.margin) said2.push(words2.near.limit);
    return said2;
  }
  unlike(numbers2) {
    const { middle, low, high, mean, whitening, most: bounds } = this.arrays;
    const deviations = numbers2.map((value, at) => {
      const away2 = value - middle[at];
      return away2 > 0 ? away2 / high[at] : -away2 / low[at];
    });
    const away = numbers2.map((value, at) => value - mean[at]);
    let squares = 0;
    for (let column = 0; column < numbers2.length; column++) {
      let sum = 0;
      for (let row = 0; row < numbers2.length; row++) sum += away[row] * whitening[row * numbers2.length + column];
      squares += Math.min(1e6, Math.max(-1e6, sum)) ** 2;
    }
    const most = Math.max(...deviations);
    const beyond = Math.max(most / bounds[0], Math.sqrt(squares / numbers2.length) / bounds[1]);
    if (Math.abs(beyond - 1) < ROUNDING3) throw tooClose("how unlike the training films the film is");
    if (beyond <= 1) return [];
    const bound = Math.min(bounds[0], most);
    if (bound < most && deviations.some((one) => Math.abs(one - bound) < ROUNDING3 * bound)) {
      throw tooClose("in what the film is unlike the training films");
    }
    return [...new Set(this.stated.words.kinds.filter((_, at) => deviations[at] >= bound))];
  }
};
function describeFilm(film, side) {
  const at = (row, column) => film[row * side + column];
  const across = (row, column) => Math.abs(at(row, column + 1) - at(row, column));
  const along = (row, column) => Math.abs(at(row + 1, column) - at(row, column));
  const counts = countBytes(film);
  const used2 = Math.log(counts.reduce((sum, count) => sum + Number(count > 0), 0) / 256);
  const total = film.length;
  const upTo = (level) => counts.reduce((sum, count, grey) => sum + (grey <= level ? count : 0), 0) / total;
  const from = (level) => counts.reduce((sum, count, grey) => sum + (grey >= level ? count : 0), 0) / total;
  const greys = [...percentiles(counts, PERCENTILES), deviationOf(film), logShare(upTo(BLACK)), logShare(from(WHITE)), used2];
  const edges = [
    Math.log(meanOver(side, side - 1, across) + 0.1),
    Math.log(meanOver(side - 1, side, along) + 0.1),
    ...coarserSteps(film, side),
    ...percentiles(roughness(side, at), [50, 99]).map((value) => Math.log(value / 4 + 0.1))
  ];
  const grid = gridOf(side, (column) => meanOver(side, 1, (row) => across(row, column))) + gridOf(side, (row) => meanOver(1, side, (_, column) => along(row, column)));
  const width = Math.max(1, pyRoundHalfEven(NARROW * side));
  const leg = Math.max(2, pyRoundHalfEven(TRIANGLE * side));
  const strips = [
    [width, side, at],
    [width, side, (row, column) => at(side - width + row, column)],
    [side, width, at],
    [side, width, (row, column) => at(row, side - width + column)]
  ];
  const borders = strips.flatMap(([h, w, map]) => {
    const mean = meanOver(h, w, map);
    return [mean, Math.log(Math.sqrt(meanOver(h, w, (row, column) => (map(row, column) - mean) ** 2)) + 1)];
  });
  const turned = [
    at,
    (row, column) => at(side - 1 - row, column),
    (row, column) => at(row, side - 1 - column),
    (row, column) => at(side - 1 - row, side - 1 - column)
  ];
  const corners = turned.map((map) => logShare(cornerShare(leg, map)));
  const jumps = [
    logShare(largest(side - 1, (column) => meanOver(side, 1, (row) => Number(across(row, column) > LINE)))),
    logShare(largest(side - 1, (row) => meanOver(1, side, (_, column) => Number(along(row, column) > LINE))))
  ];
  return [...greys, ...edges, grid, ...borders, ...corners, ...jumps, ...writing(film, side, at, across, along).map(logShare)];
}
var logShare = (share) => Math.log(share + SMALL * 10);
function pyRoundHalfEven(value) {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + floor % 2 : Math.round(value);
}
function meanOver(rows2, columns, map) {
  let sum = 0;
  for (let row = 0; row < rows2; row++) for (let column = 0; column < columns; column++) sum += map(row, column);
  return sum / (rows2 * columns);
}
var largest = (n, of) => Math.max(...Array.from({ length: n }, (_, at) => of(at)));
function percentiles(counts, wanted) {
  const until = cumulative(counts);
  return wanted.map((one) => {
    const place = one / 100 * (until[until.length - 1] - 1);
    const low = searchSorted(until, Math.floor(place), "right");
    const high = searchSorted(until, Math.ceil(place), "right");
    return low + (high - low) * (place - Math.floor(place));
  });
}
function coarserSteps(film, side) {
  let [half, length] = [Float64Array.from(film), side];
  return [1, 2, 3].map(() => {
    const to = length >> 1;
    const smaller = new Float64Array(to * to);
    for (let row = 0; row < to; row++) {
      for (let column = 0; column < to; column++) {
        const at = 2 * row * length + 2 * column;
        smaller[row * to + column] = (half[at] + half[at + length] + half[at + 1] + half[at + length + 1]) / 4;
      }
    }
    [half, length] = [smaller, to];
    const value = (row, column) => smaller[row * to + column];
    const down = meanOver(to - 1, to, (row, column) => Math.abs(value(row + 1, column) - value(row, column)));
    const right = meanOver(to, to - 1, (row, column) => Math.abs(value(row, column + 1) - value(row, column)));
    return Math.log((down + right) / 2 + 0.1);
  });
}
function roughness(side, at) {
  const counts = new Float64Array(4 * 255 + 1);
  for (let row = 1; row < side - 1; row++) {
    for (let column = 1; column < side - 1; column++) {
      const around = at(row - 1, column) + at(row + 1, column) + at(row, column - 1) + at(row, column + 1);
      counts[Math.abs(4 * at(row, column) - around)]++;
    }
  }
  return counts;
}
function gridOf(side, step) {
  const steps = Array.from({ length: side - 1 }, (_, line) => step(line));
  const between = steps.filter((_, line) => line % 8 === 7);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.log((mean(between) + 0.1) / (mean(steps) + 0.1)) / 2;
}
function cornerShare(leg, map) {
  let [dark, n] = [0, 0];
  for (let row = 0; row < leg; row++) {
    for (let column = 0; row + column < leg; column++, n++) dark += Number(map(row, column) <= BLACK);
  }
  return dark / n;
}
function writing(film, side, at, across, along) {
  const zone = Math.max(1, pyRoundHalfEven(OUTER * side));
  const outer = (row, column) => row < zone || row >= side - zone || column < zone || column >= side - zone;
  const steep = (row, column) => Number(across(row, column) > STEEP || along(row, column) > STEEP);
  let [steepOuter, nOuter, whiteOuter, nWhite] = [0, 0, 0, 0];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      if (!outer(row, column)) continue;
      nWhite += 1;
      whiteOuter += Number(film[row * side + column] >= WHITE);
      if (row === side - 1 || column === side - 1) continue;
      nOuter += 1;
      steepOuter += steep(row, column);
    }
  }
  const white = (row, column) => at(row, column) >= WHITE;
  const flat = meanOver(
    side - 2,
    side - 2,
    (y, x2) => Number(white(y + 1, x2 + 1) && white(y, x2 + 1) && white(y + 2, x2 + 1) && white(y + 1, x2) && white(y + 1, x2 + 2))
  );
  return [meanOver(side - 1, side - 1, steep), steepOuter / nOuter, whiteOuter / nWhite, flat];
}
function sideScore(film, side, sides) {
  const small2 = resize({ pixels: film, width: side, height: side }, SIDES, SIDES, "box").pixels;
  const mean = small2.reduce((sum, grey) => sum + grey, 0) / small2.length;
  const contrast = deviationOf(small2) + 4;
  const value = (row, column) => (small2[row * SIDES + column] - mean) / contrast;
  let score = 0;
  for (let row = 0; row < SIDES; row++) {
    for (let column = 0; column < SIDES / 2; column++) {
      score += (value(row, column) - value(row, SIDES - 1 - column)) * sides[row * SIDES / 2 + column];
    }
  }
  return score;
}

// src/runtime.ts
init_define_WASM();

// node_modules/@litertjs/core/dist/index.js
init_define_WASM();

// src/litert_loader.ts
init_define_WASM();

// litert-loader:litert_wasm_internal.js
init_define_WASM();
var ModuleFactory = (() => {
  var _scriptName = globalThis.document?.currentScript?.src;
  return async function(moduleArg = {}) {
    var moduleRtn;
    var Module = moduleArg;
    var ENVIRONMENT_IS_WEB = !!globalThis.window;
    var ENVIRONMENT_IS_WORKER = !!globalThis.WorkerGlobalScope;
    var ENVIRONMENT_IS_NODE = globalThis.process?.versions?.node && globalThis.process?.type != "renderer";
    var programArgs = [];
    var thisProgram = "./this.program";
    var quit_ = (status, toThrow) => {
      throw toThrow;
    };
    if (typeof __filename != "undefined") {
      _scriptName = __filename;
    } else if (ENVIRONMENT_IS_WORKER) {
      _scriptName = self.location.href;
    }
    var scriptDirectory = "";
    function locateFile(path) {
      if (Module["locateFile"]) {
        return Module["locateFile"](path, scriptDirectory);
      }
      return scriptDirectory + path;
    }
    var readAsync, readBinary;
    if (ENVIRONMENT_IS_NODE) {
      var fs = __require("node:fs");
      scriptDirectory = __dirname + "/";
      readBinary = (filename) => {
        filename = isFileURI(filename) ? new URL(filename) : filename;
        var ret = fs.readFileSync(filename);
        return ret;
      };
      readAsync = async (filename, binary = true) => {
        filename = isFileURI(filename) ? new URL(filename) : filename;
        var ret = fs.readFileSync(filename, binary ? void 0 : "utf8");
        return ret;
      };
      if (process.argv.length > 1) {
        thisProgram = process.argv[1].replace(/\\/g, "/");
      }
      programArgs = process.argv.slice(2);
      quit_ = (status, toThrow) => {
        process.exitCode = status;
        throw toThrow;
      };
    } else if (ENVIRONMENT_IS_WEB || ENVIRONMENT_IS_WORKER) {
      try {
        scriptDirectory = new URL(".", _scriptName).href;
      } catch {
      }
      {
        if (ENVIRONMENT_IS_WORKER) {
          readBinary = (url) => {
            var xhr = new XMLHttpRequest();
            xhr.open("GET", url, false);
            xhr.responseType = "arraybuffer";
            xhr.send(null);
            return new Uint8Array(
              /** @type{!ArrayBuffer} */
              xhr.response
            );
          };
        }
        readAsync = async (url) => {
          if (isFileURI(url)) {
            return new Promise((resolve, reject) => {
              var xhr = new XMLHttpRequest();
              xhr.open("GET", url, true);
              xhr.responseType = "arraybuffer";
              xhr.onload = () => {
                if (xhr.status == 200 || xhr.status == 0 && xhr.response) {
                  resolve(xhr.response);
                  return;
                }
                reject(xhr.status);
              };
              xhr.onerror = reject;
              xhr.send(null);
            });
          }
          var response = await fetch(url, {
            credentials: "same-origin"
          });
          if (response.ok) {
            return response.arrayBuffer();
          }
          throw new Error(response.status + " : " + response.url);
        };
      }
    } else {
    }
    var out = console.log.bind(console);
    var err2 = console.error.bind(console);
    var wasmBinary;
    var ABORT = false;
    var EXITSTATUS;
    function assert(condition, text) {
      if (!condition) {
        abort(text);
      }
    }
    var isFileURI = (filename) => filename.startsWith("file://");
    class EmscriptenEH {
    }
    class EmscriptenSjLj extends EmscriptenEH {
    }
    var readyPromiseResolve, readyPromiseReject;
    var runtimeInitialized = false;
    function updateMemoryViews() {
      var b = wasmMemory.buffer;
      HEAP8 = new Int8Array(b);
      HEAP16 = new Int16Array(b);
      Module["HEAPU8"] = HEAPU8 = new Uint8Array(b);
      HEAPU16 = new Uint16Array(b);
      Module["HEAP32"] = HEAP32 = new Int32Array(b);
      Module["HEAPU32"] = HEAPU32 = new Uint32Array(b);
      HEAPF32 = new Float32Array(b);
      Module["HEAPF64"] = HEAPF64 = new Float64Array(b);
    }
    function preRun() {
      if (Module["preRun"]) {
        if (typeof Module["preRun"] == "function") Module["preRun"] = [Module["preRun"]];
        while (Module["preRun"].length) {
          addOnPreRun(Module["preRun"].shift());
        }
      }
      callRuntimeCallbacks(onPreRuns);
    }
    function initRuntime() {
      runtimeInitialized = true;
      if (!Module["noFSInit"] && !FS.initialized) FS.init();
      TTY.init();
      wasmExports["sb"]();
      FS.ignorePermissions = false;
    }
    function postRun() {
      if (Module["postRun"]) {
        if (typeof Module["postRun"] == "function") Module["postRun"] = [Module["postRun"]];
        while (Module["postRun"].length) {
          addOnPostRun(Module["postRun"].shift());
        }
      }
      callRuntimeCallbacks(onPostRuns);
    }
    function abort(what) {
      Module["onAbort"]?.(what);
      what = `Aborted(${what})`;
      err2(what);
      ABORT = true;
      what += ". Build with -sASSERTIONS for more info.";
      var e = new WebAssembly.RuntimeError(what);
      readyPromiseReject?.(e);
      throw e;
    }
    var wasmBinaryFile;
    function findWasmBinary() {
      return locateFile("litert_wasm_internal.wasm");
    }
    function getBinarySync(file) {
      if (file == wasmBinaryFile && wasmBinary) {
        return new Uint8Array(wasmBinary);
      }
      if (readBinary) {
        return readBinary(file);
      }
      throw "both async and sync fetching of the wasm failed";
    }
    async function getWasmBinary(binaryFile) {
      if (!wasmBinary) {
        try {
          var response = await readAsync(binaryFile);
          return new Uint8Array(response);
        } catch {
        }
      }
      return getBinarySync(binaryFile);
    }
    async function instantiateArrayBuffer(binaryFile, imports) {
      try {
        var binary = await getWasmBinary(binaryFile);
        var instance = await WebAssembly.instantiate(binary, imports);
        return instance;
      } catch (reason) {
        err2(`failed to asynchronously prepare wasm: ${reason}`);
        abort(reason);
      }
    }
    async function instantiateAsync(binary, binaryFile, imports) {
      if (!binary && !isFileURI(binaryFile) && !ENVIRONMENT_IS_NODE) {
        try {
          var response = fetch(binaryFile, {
            credentials: "same-origin"
          });
          var instantiationResult = await WebAssembly.instantiateStreaming(response, imports);
          return instantiationResult;
        } catch (reason) {
          err2(`wasm streaming compile failed: ${reason}`);
          err2("falling back to ArrayBuffer instantiation");
        }
      }
      return instantiateArrayBuffer(binaryFile, imports);
    }
    function getWasmImports() {
      var imports = {
        "a": wasmImports
      };
      return imports;
    }
    async function createWasm() {
      function receiveInstance(instance, module2) {
        wasmExports = instance.exports;
        assignWasmExports(wasmExports);
        updateMemoryViews();
        return wasmExports;
      }
      function receiveInstantiationResult(result2) {
        return receiveInstance(result2["instance"]);
      }
      var info = getWasmImports();
      if (Module["instantiateWasm"]) {
        return new Promise((resolve, reject) => {
          Module["instantiateWasm"](info, (inst, mod) => {
            resolve(receiveInstance(inst, mod));
          });
        });
      }
      wasmBinaryFile ??= findWasmBinary();
      var result = await instantiateAsync(wasmBinary, wasmBinaryFile, info);
      var exports2 = receiveInstantiationResult(result);
      return exports2;
    }
    var tempDouble;
    var tempI64;
    var handleException = (e) => {
      if (e instanceof ExitStatus || e == "unwind") {
        return EXITSTATUS;
      }
      quit_(1, e);
    };
    class ExitStatus {
      name = "ExitStatus";
      constructor(status) {
        this.message = `Program terminated with exit(${status})`;
        this.status = status;
      }
    }
    var runtimeKeepaliveCounter = 0;
    var keepRuntimeAlive = () => noExitRuntime || runtimeKeepaliveCounter > 0;
    var _proc_exit = (code) => {
      EXITSTATUS = code;
      if (!keepRuntimeAlive()) {
        Module["onExit"]?.(code);
        ABORT = true;
      }
      quit_(code, new ExitStatus(code));
    };
    var exitJS = (status, implicit) => {
      EXITSTATUS = status;
      _proc_exit(status);
    };
    var _exit = exitJS;
    var maybeExit = () => {
      if (!keepRuntimeAlive()) {
        try {
          _exit(EXITSTATUS);
        } catch (e) {
          handleException(e);
        }
      }
    };
    var callUserCallback = (func) => {
      if (ABORT) {
        return;
      }
      try {
        return func();
      } catch (e) {
        handleException(e);
      } finally {
        maybeExit();
      }
    };
    function getFullscreenElement() {
      return document.fullscreenElement || document.mozFullScreenElement || document.webkitFullscreenElement || document.webkitCurrentFullScreenElement || document.msFullscreenElement;
    }
    var safeSetTimeout = (func, timeout) => setTimeout(() => {
      callUserCallback(func);
    }, timeout);
    var warnOnce = (text) => {
      warnOnce.shown ||= {};
      if (!warnOnce.shown[text]) {
        warnOnce.shown[text] = 1;
        if (ENVIRONMENT_IS_NODE) text = "warning: " + text;
        err2(text);
      }
    };
    var preloadPlugins = [];
    var Browser = {
      useWebGL: false,
      isFullscreen: false,
      pointerLock: false,
      moduleContextCreatedCallbacks: [],
      workers: [],
      preloadedImages: {},
      preloadedAudios: {},
      getCanvas: () => Module["canvas"],
      init() {
        if (Browser.initted) return;
        Browser.initted = true;
        var imagePlugin = {};
        imagePlugin["canHandle"] = (name) => !Module["noImageDecoding"] && /\.(jpg|jpeg|png|bmp|webp)$/i.test(name);
        imagePlugin["handle"] = async (byteArray, name) => {
          var b = new Blob([byteArray], {
            type: Browser.getMimetype(name)
          });
          if (b.size !== byteArray.length) {
            b = new Blob([new Uint8Array(byteArray).buffer], {
              type: Browser.getMimetype(name)
            });
          }
          var url = URL.createObjectURL(b);
          return new Promise((resolve, reject) => {
            var img = new Image();
            img.onload = () => {
              var canvas2 = (
                /** @type {!HTMLCanvasElement} */
                document.createElement("canvas")
              );
              canvas2.width = img.width;
              canvas2.height = img.height;
              var ctx = canvas2.getContext("2d");
              ctx.drawImage(img, 0, 0);
              Browser.preloadedImages[name] = canvas2;
              URL.revokeObjectURL(url);
              resolve(byteArray);
            };
            img.onerror = (event) => {
              err2(`Image ${url} could not be decoded`);
              reject();
            };
            img.src = url;
          });
        };
        preloadPlugins.push(imagePlugin);
        var audioPlugin = {};
        audioPlugin["canHandle"] = (name) => !Module["noAudioDecoding"] && name.slice(-4) in {
          ".ogg": 1,
          ".wav": 1,
          ".mp3": 1
        };
        audioPlugin["handle"] = async (byteArray, name) => new Promise((resolve, reject) => {
          var done = false;
          function finish(audio2) {
            if (done) return;
            done = true;
            Browser.preloadedAudios[name] = audio2;
            resolve(byteArray);
          }
          var b = new Blob([byteArray], {
            type: Browser.getMimetype(name)
          });
          var url = URL.createObjectURL(b);
          var audio = new Audio();
          audio.addEventListener("canplaythrough", () => finish(audio), false);
          audio.onerror = (event) => {
            if (done) return;
            err2(`warning: browser could not fully decode audio ${name}, trying slower base64 approach`);
            function encode64(data) {
              var BASE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
              var PAD = "=";
              var ret = "";
              var leftchar = 0;
              var leftbits = 0;
              for (var i2 = 0; i2 < data.length; i2++) {
                leftchar = leftchar << 8 | data[i2];
                leftbits += 8;
                while (leftbits >= 6) {
                  var curr = leftchar >> leftbits - 6 & 63;
                  leftbits -= 6;
                  ret += BASE[curr];
                }
              }
              if (leftbits == 2) {
                ret += BASE[(leftchar & 3) << 4];
                ret += PAD + PAD;
              } else if (leftbits == 4) {
                ret += BASE[(leftchar & 15) << 2];
                ret += PAD;
              }
              return ret;
            }
            audio.src = "data:audio/x-" + name.slice(-3) + ";base64," + encode64(byteArray);
            finish(audio);
          };
          audio.src = url;
          safeSetTimeout(() => {
            finish(audio);
          }, 1e4);
        });
        preloadPlugins.push(audioPlugin);
        function pointerLockChange() {
          var canvas2 = Browser.getCanvas();
          Browser.pointerLock = document.pointerLockElement === canvas2;
        }
        var canvas = Browser.getCanvas();
        if (canvas) {
          document.addEventListener("pointerlockchange", pointerLockChange, false);
          if (Module["elementPointerLock"]) {
            canvas.addEventListener("click", (ev) => {
              if (!Browser.pointerLock && Browser.getCanvas().requestPointerLock) {
                Browser.getCanvas().requestPointerLock();
                ev.preventDefault();
              }
            }, false);
          }
        }
      },
      createContext(canvas, useWebGL, setInModule, webGLContextAttributes) {
        if (useWebGL && Module["ctx"] && canvas == Browser.getCanvas()) return Module["ctx"];
        var ctx;
        var contextHandle;
        if (useWebGL) {
          var contextAttributes = {
            antialias: false,
            alpha: false,
            majorVersion: typeof WebGL2RenderingContext != "undefined" ? 2 : 1
          };
          if (webGLContextAttributes) {
            for (var attribute in webGLContextAttributes) {
              contextAttributes[attribute] = webGLContextAttributes[attribute];
            }
          }
          if (typeof GL != "undefined") {
            contextHandle = GL.createContext(canvas, contextAttributes);
            if (contextHandle) {
              ctx = GL.getContext(contextHandle).GLctx;
            }
          }
        } else {
          ctx = canvas.getContext("2d");
        }
        if (!ctx) return null;
        if (setInModule) {
          Module["ctx"] = ctx;
          if (useWebGL) GL.makeContextCurrent(contextHandle);
          Browser.useWebGL = useWebGL;
          Browser.moduleContextCreatedCallbacks.forEach((callback) => callback());
          Browser.init();
        }
        return ctx;
      },
      fullscreenHandlersInstalled: false,
      lockPointer: void 0,
      resizeCanvas: void 0,
      requestFullscreen(lockPointer, resizeCanvas) {
        Browser.lockPointer = lockPointer;
        Browser.resizeCanvas = resizeCanvas;
        if (typeof Browser.lockPointer == "undefined") Browser.lockPointer = true;
        if (typeof Browser.resizeCanvas == "undefined") Browser.resizeCanvas = false;
        var canvas = Browser.getCanvas();
        function fullscreenChange() {
          Browser.isFullscreen = false;
          var canvasContainer2 = canvas.parentNode;
          if (getFullscreenElement() === canvasContainer2) {
            canvas.exitFullscreen = Browser.exitFullscreen;
            if (Browser.lockPointer) canvas.requestPointerLock();
            Browser.isFullscreen = true;
            if (Browser.resizeCanvas) {
              Browser.setFullscreenCanvasSize();
            } else {
              Browser.updateCanvasDimensions(canvas);
            }
          } else {
            canvasContainer2.parentNode.insertBefore(canvas, canvasContainer2);
            canvasContainer2.parentNode.removeChild(canvasContainer2);
            if (Browser.resizeCanvas) {
              Browser.setWindowedCanvasSize();
            } else {
              Browser.updateCanvasDimensions(canvas);
            }
          }
          Module["onFullScreen"]?.(Browser.isFullscreen);
          Module["onFullscreen"]?.(Browser.isFullscreen);
        }
        if (!Browser.fullscreenHandlersInstalled) {
          Browser.fullscreenHandlersInstalled = true;
          document.addEventListener("fullscreenchange", fullscreenChange, false);
          document.addEventListener("mozfullscreenchange", fullscreenChange, false);
          document.addEventListener("webkitfullscreenchange", fullscreenChange, false);
          document.addEventListener("MSFullscreenChange", fullscreenChange, false);
        }
        var canvasContainer = document.createElement("div");
        canvas.parentNode.insertBefore(canvasContainer, canvas);
        canvasContainer.appendChild(canvas);
        canvasContainer.requestFullscreen = canvasContainer["requestFullscreen"] || canvasContainer["mozRequestFullScreen"] || canvasContainer["msRequestFullscreen"] || (canvasContainer["webkitRequestFullscreen"] ? () => canvasContainer["webkitRequestFullscreen"](Element["ALLOW_KEYBOARD_INPUT"]) : null) || (canvasContainer["webkitRequestFullScreen"] ? () => canvasContainer["webkitRequestFullScreen"](Element["ALLOW_KEYBOARD_INPUT"]) : null);
        canvasContainer.requestFullscreen();
      },
      exitFullscreen() {
        if (!Browser.isFullscreen) {
          return false;
        }
        var CFS = document["exitFullscreen"] || document["cancelFullScreen"] || document["mozCancelFullScreen"] || document["msExitFullscreen"] || document["webkitCancelFullScreen"] || (() => {
        });
        CFS.apply(document, []);
        return true;
      },
      safeSetTimeout(func, timeout) {
        return safeSetTimeout(func, timeout);
      },
      getMimetype(name) {
        return {
          "jpg": "image/jpeg",
          "jpeg": "image/jpeg",
          "png": "image/png",
          "bmp": "image/bmp",
          "ogg": "audio/ogg",
          "wav": "audio/wav",
          "mp3": "audio/mpeg"
        }[name.slice(name.lastIndexOf(".") + 1)];
      },
      getUserMedia(func) {
        window.getUserMedia ||= navigator["getUserMedia"] || navigator["mozGetUserMedia"];
        window.getUserMedia(func);
      },
      getMovementX(event) {
        return event["movementX"] || event["mozMovementX"] || event["webkitMovementX"] || 0;
      },
      getMovementY(event) {
        return event["movementY"] || event["mozMovementY"] || event["webkitMovementY"] || 0;
      },
      getMouseWheelDelta(event) {
        var delta = 0;
        switch (event.type) {
          case "DOMMouseScroll":
            delta = event.detail / 3;
            break;
          case "mousewheel":
            delta = event.wheelDelta / 120;
            break;
          case "wheel":
            delta = event.deltaY;
            switch (event.deltaMode) {
              case 0:
                delta /= 100;
                break;
              case 1:
                delta /= 3;
                break;
              case 2:
                delta *= 80;
                break;
              default:
                abort("unrecognized mouse wheel delta mode: " + event.deltaMode);
            }
            break;
          default:
            abort("unrecognized mouse wheel event: " + event.type);
        }
        return delta;
      },
      mouseX: 0,
      mouseY: 0,
      mouseMovementX: 0,
      mouseMovementY: 0,
      touches: {},
      lastTouches: {},
      calculateMouseCoords(pageX, pageY) {
        var canvas = Browser.getCanvas();
        var rect = canvas.getBoundingClientRect();
        var adjustedX = pageX - (window.scrollX + rect.left);
        var adjustedY = pageY - (window.scrollY + rect.top);
        adjustedX = adjustedX * (canvas.width / rect.width);
        adjustedY = adjustedY * (canvas.height / rect.height);
        return {
          x: adjustedX,
          y: adjustedY
        };
      },
      setMouseCoords(pageX, pageY) {
        const { x: x2, y } = Browser.calculateMouseCoords(pageX, pageY);
        Browser.mouseMovementX = x2 - Browser.mouseX;
        Browser.mouseMovementY = y - Browser.mouseY;
        Browser.mouseX = x2;
        Browser.mouseY = y;
      },
      calculateMouseEvent(event) {
        if (Browser.pointerLock) {
          if (event.type != "mousemove" && "mozMovementX" in event) {
            Browser.mouseMovementX = Browser.mouseMovementY = 0;
          } else {
            Browser.mouseMovementX = Browser.getMovementX(event);
            Browser.mouseMovementY = Browser.getMovementY(event);
          }
          Browser.mouseX += Browser.mouseMovementX;
          Browser.mouseY += Browser.mouseMovementY;
        } else {
          if (event.type === "touchstart" || event.type === "touchend" || event.type === "touchmove") {
            var touch = event.touch;
            if (touch === void 0) {
              return;
            }
            var coords = Browser.calculateMouseCoords(touch.pageX, touch.pageY);
            if (event.type === "touchstart") {
              Browser.lastTouches[touch.identifier] = coords;
              Browser.touches[touch.identifier] = coords;
            } else if (event.type === "touchend" || event.type === "touchmove") {
              var last = Browser.touches[touch.identifier];
              last ||= coords;
              Browser.lastTouches[touch.identifier] = last;
              Browser.touches[touch.identifier] = coords;
            }
            return;
          }
          Browser.setMouseCoords(event.pageX, event.pageY);
        }
      },
      resizeListeners: [],
      updateResizeListeners() {
        var canvas = Browser.getCanvas();
        Browser.resizeListeners.forEach((listener) => listener(canvas.width, canvas.height));
      },
      setCanvasSize(width, height, noUpdates) {
        var canvas = Browser.getCanvas();
        Browser.updateCanvasDimensions(canvas, width, height);
        if (!noUpdates) Browser.updateResizeListeners();
      },
      windowedWidth: 0,
      windowedHeight: 0,
      setFullscreenCanvasSize() {
        if (typeof SDL != "undefined") {
          var flags = HEAPU32[SDL.screen >> 2];
          flags = flags | 8388608;
          HEAP32[SDL.screen >> 2] = flags;
        }
        Browser.updateCanvasDimensions(Browser.getCanvas());
        Browser.updateResizeListeners();
      },
      setWindowedCanvasSize() {
        if (typeof SDL != "undefined") {
          var flags = HEAPU32[SDL.screen >> 2];
          flags = flags & ~8388608;
          HEAP32[SDL.screen >> 2] = flags;
        }
        Browser.updateCanvasDimensions(Browser.getCanvas());
        Browser.updateResizeListeners();
      },
      updateCanvasDimensions(canvas, wNative, hNative) {
        if (wNative && hNative) {
          canvas.widthNative = wNative;
          canvas.heightNative = hNative;
        } else {
          wNative = canvas.widthNative;
          hNative = canvas.heightNative;
        }
        var w = wNative;
        var h = hNative;
        if (Module["forcedAspectRatio"] > 0) {
          if (w / h < Module["forcedAspectRatio"]) {
            w = Math.round(h * Module["forcedAspectRatio"]);
          } else {
            h = Math.round(w / Module["forcedAspectRatio"]);
          }
        }
        if (getFullscreenElement() === canvas.parentNode && typeof screen != "undefined") {
          var factor = Math.min(screen.width / w, screen.height / h);
          w = Math.round(w * factor);
          h = Math.round(h * factor);
        }
        if (Browser.resizeCanvas) {
          if (canvas.width != w) canvas.width = w;
          if (canvas.height != h) canvas.height = h;
          if (typeof canvas.style != "undefined") {
            canvas.style.removeProperty("width");
            canvas.style.removeProperty("height");
          }
        } else {
          if (canvas.width != wNative) canvas.width = wNative;
          if (canvas.height != hNative) canvas.height = hNative;
          if (typeof canvas.style != "undefined") {
            if (w != wNative || h != hNative) {
              canvas.style.setProperty("width", w + "px", "important");
              canvas.style.setProperty("height", h + "px", "important");
            } else {
              canvas.style.removeProperty("width");
              canvas.style.removeProperty("height");
            }
          }
        }
      }
    };
    var HEAP16;
    var HEAP32;
    var HEAP8;
    var HEAPF32;
    var HEAPF64;
    var HEAPU16;
    var HEAPU32;
    var HEAPU8;
    var callRuntimeCallbacks = (callbacks) => {
      while (callbacks.length > 0) {
        callbacks.shift()(Module);
      }
    };
    var onPostRuns = [];
    var addOnPostRun = (cb) => onPostRuns.push(cb);
    var onPreRuns = [];
    var addOnPreRun = (cb) => onPreRuns.push(cb);
    var noExitRuntime = true;
    var stackRestore = (val) => __emscripten_stack_restore(val);
    var stackSave = () => _emscripten_stack_get_current();
    var PATH2 = {
      isAbs: (path) => path.charAt(0) === "/",
      splitPath: (filename) => {
        var splitPathRe = /^(\/?|)([\s\S]*?)((?:\.{1,2}|[^\/]+?|)(\.[^.\/]*|))(?:[\/]*)$/;
        return splitPathRe.exec(filename).slice(1);
      },
      normalizeArray: (parts, allowAboveRoot) => {
        var up = 0;
        for (var i2 = parts.length - 1; i2 >= 0; i2--) {
          var last = parts[i2];
          if (last === ".") {
            parts.splice(i2, 1);
          } else if (last === "..") {
            parts.splice(i2, 1);
            up++;
          } else if (up) {
            parts.splice(i2, 1);
            up--;
          }
        }
        if (allowAboveRoot) {
          for (; up; up--) {
            parts.unshift("..");
          }
        }
        return parts;
      },
      normalize: (path) => {
        var isAbsolute = PATH2.isAbs(path), trailingSlash = path.slice(-1) === "/";
        path = PATH2.normalizeArray(path.split("/").filter((p) => !!p), !isAbsolute).join("/");
        if (!path && !isAbsolute) {
          path = ".";
        }
        if (path && trailingSlash) {
          path += "/";
        }
        return (isAbsolute ? "/" : "") + path;
      },
      dirname: (path) => {
        var result = PATH2.splitPath(path), root = result[0], dir = result[1];
        if (!root && !dir) {
          return ".";
        }
        if (dir) {
          dir = dir.slice(0, -1);
        }
        return root + dir;
      },
      basename: (path) => path && path.match(/([^\/]+|\/)\/*$/)[1],
      join: (...paths) => PATH2.normalize(paths.join("/")),
      join2: (l, r) => PATH2.normalize(l + "/" + r)
    };
    var initRandomFill = () => {
      if (ENVIRONMENT_IS_NODE) {
        var nodeCrypto = __require("node:crypto");
        return (view) => nodeCrypto.randomFillSync(view);
      }
      return (view) => (crypto.getRandomValues(view), 0);
    };
    var randomFill = (view) => (randomFill = initRandomFill())(view);
    var PATH_FS = {
      resolve: (...args) => {
        var resolvedPath = "", resolvedAbsolute = false;
        for (var i2 = args.length - 1; i2 >= -1 && !resolvedAbsolute; i2--) {
          var path = i2 >= 0 ? args[i2] : FS.cwd();
          if (typeof path != "string") {
            throw new TypeError("Arguments to path.resolve must be strings");
          } else if (!path) {
            return "";
          }
          resolvedPath = path + "/" + resolvedPath;
          resolvedAbsolute = PATH2.isAbs(path);
        }
        resolvedPath = PATH2.normalizeArray(resolvedPath.split("/").filter((p) => !!p), !resolvedAbsolute).join("/");
        return (resolvedAbsolute ? "/" : "") + resolvedPath || ".";
      },
      relative: (from, to) => {
        from = PATH_FS.resolve(from).slice(1);
        to = PATH_FS.resolve(to).slice(1);
        function trim(arr) {
          var start2 = 0;
          for (; start2 < arr.length; start2++) {
            if (arr[start2] !== "") break;
          }
          var end = arr.length - 1;
          for (; end >= 0; end--) {
            if (arr[end] !== "") break;
          }
          if (start2 > end) return [];
          return arr.slice(start2, end - start2 + 1);
        }
        var fromParts = trim(from.split("/"));
        var toParts = trim(to.split("/"));
        var length = Math.min(fromParts.length, toParts.length);
        var samePartsLength = length;
        for (var i2 = 0; i2 < length; i2++) {
          if (fromParts[i2] !== toParts[i2]) {
            samePartsLength = i2;
            break;
          }
        }
        var outputParts = [];
        for (var i2 = samePartsLength; i2 < fromParts.length; i2++) {
          outputParts.push("..");
        }
        outputParts = outputParts.concat(toParts.slice(samePartsLength));
        return outputParts.join("/");
      }
    };
    var UTF8Decoder = new TextDecoder();
    var findStringEnd = (heapOrArray, idx, maxBytesToRead, ignoreNul) => {
      var maxIdx = idx + maxBytesToRead;
      if (ignoreNul) return maxIdx;
      while (heapOrArray[idx] && !(idx >= maxIdx)) ++idx;
      return idx;
    };
    var UTF8ArrayToString = (heapOrArray, idx = 0, maxBytesToRead, ignoreNul) => {
      var endPtr = findStringEnd(heapOrArray, idx, maxBytesToRead, ignoreNul);
      return UTF8Decoder.decode(heapOrArray.buffer ? heapOrArray.subarray(idx, endPtr) : new Uint8Array(heapOrArray.slice(idx, endPtr)));
    };
    var FS_stdin_getChar_buffer = [];
    var lengthBytesUTF8 = (str) => {
      var len = 0;
      for (var i2 = 0; i2 < str.length; ++i2) {
        var c = str.charCodeAt(i2);
        if (c <= 127) {
          len++;
        } else if (c <= 2047) {
          len += 2;
        } else if (c >= 55296 && c <= 57343) {
          len += 4;
          ++i2;
        } else {
          len += 3;
        }
      }
      return len;
    };
    var stringToUTF8Array = (str, heap, outIdx, maxBytesToWrite) => {
      if (!(maxBytesToWrite > 0)) return 0;
      var startIdx = outIdx;
      var endIdx = outIdx + maxBytesToWrite - 1;
      for (var i2 = 0; i2 < str.length; ++i2) {
        var u = str.codePointAt(i2);
        if (u <= 127) {
          if (outIdx >= endIdx) break;
          heap[outIdx++] = u;
        } else if (u <= 2047) {
          if (outIdx + 1 >= endIdx) break;
          heap[outIdx++] = 192 | u >> 6;
          heap[outIdx++] = 128 | u & 63;
        } else if (u <= 65535) {
          if (outIdx + 2 >= endIdx) break;
          heap[outIdx++] = 224 | u >> 12;
          heap[outIdx++] = 128 | u >> 6 & 63;
          heap[outIdx++] = 128 | u & 63;
        } else {
          if (outIdx + 3 >= endIdx) break;
          heap[outIdx++] = 240 | u >> 18;
          heap[outIdx++] = 128 | u >> 12 & 63;
          heap[outIdx++] = 128 | u >> 6 & 63;
          heap[outIdx++] = 128 | u & 63;
          i2++;
        }
      }
      heap[outIdx] = 0;
      return outIdx - startIdx;
    };
    var intArrayFromString = (stringy, dontAddNull, length) => {
      var len = length > 0 ? length : lengthBytesUTF8(stringy) + 1;
      var u8array = new Array(len);
      var numBytesWritten = stringToUTF8Array(stringy, u8array, 0, u8array.length);
      if (dontAddNull) u8array.length = numBytesWritten;
      return u8array;
    };
    var FS_stdin_getChar = () => {
      if (!FS_stdin_getChar_buffer.length) {
        var result = null;
        if (ENVIRONMENT_IS_NODE) {
          var BUFSIZE = 256;
          var buf = Buffer.alloc(BUFSIZE);
          var bytesRead = 0;
          var fd2 = process.stdin.fd;
          try {
            bytesRead = fs.readSync(fd2, buf, 0, BUFSIZE);
          } catch (e) {
            if (e.toString().includes("EOF")) bytesRead = 0;
            else throw e;
          }
          if (bytesRead > 0) {
            result = buf.slice(0, bytesRead).toString("utf-8");
          }
        } else if (globalThis.window?.prompt) {
          result = window.prompt("Input: ");
          if (result !== null) {
            result += "\n";
          }
        } else {
        }
        if (!result) {
          return null;
        }
        FS_stdin_getChar_buffer = intArrayFromString(result, true);
      }
      return FS_stdin_getChar_buffer.shift();
    };
    var TTY = {
      ttys: [],
      init() {
      },
      shutdown() {
      },
      register(dev, ops) {
        TTY.ttys[dev] = {
          input: [],
          output: [],
          ops
        };
        FS.registerDevice(dev, TTY.stream_ops);
      },
      stream_ops: {
        open(stream) {
          var tty = TTY.ttys[stream.node.rdev];
          if (!tty) {
            throw new FS.ErrnoError(43);
          }
          stream.tty = tty;
          stream.seekable = false;
        },
        close(stream) {
          stream.tty.ops.fsync(stream.tty);
        },
        fsync(stream) {
          stream.tty.ops.fsync(stream.tty);
        },
        read(stream, buffer, offset, length, pos) {
          if (!stream.tty || !stream.tty.ops.get_char) {
            throw new FS.ErrnoError(60);
          }
          var bytesRead = 0;
          for (var i2 = 0; i2 < length; i2++) {
            var result;
            try {
              result = stream.tty.ops.get_char(stream.tty);
            } catch (e) {
              throw new FS.ErrnoError(29);
            }
            if (result === void 0 && bytesRead === 0) {
              throw new FS.ErrnoError(6);
            }
            if (result === null || result === void 0) break;
            bytesRead++;
            buffer[offset + i2] = result;
          }
          if (bytesRead) {
            stream.node.atime = Date.now();
          }
          return bytesRead;
        },
        write(stream, buffer, offset, length, pos) {
          if (!stream.tty || !stream.tty.ops.put_char) {
            throw new FS.ErrnoError(60);
          }
          try {
            for (var i2 = 0; i2 < length; i2++) {
              stream.tty.ops.put_char(stream.tty, buffer[offset + i2]);
            }
          } catch (e) {
            throw new FS.ErrnoError(29);
          }
          if (length) {
            stream.node.mtime = stream.node.ctime = Date.now();
          }
          return i2;
        }
      },
      default_tty_ops: {
        get_char(tty) {
          return FS_stdin_getChar();
        },
        put_char(tty, val) {
          if (val === null || val === 10) {
            out(UTF8ArrayToString(tty.output));
            tty.output = [];
          } else {
            if (val != 0) tty.output.push(val);
          }
        },
        fsync(tty) {
          if (tty.output?.length > 0) {
            out(UTF8ArrayToString(tty.output));
            tty.output = [];
          }
        },
        ioctl_tcgets(tty) {
          return {
            c_iflag: 25856,
            c_oflag: 5,
            c_cflag: 191,
            c_lflag: 35387,
            c_cc: [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
          };
        },
        ioctl_tcsets(tty, optional_actions, data) {
          return 0;
        },
        ioctl_tiocgwinsz(tty) {
          return [24, 80];
        }
      },
      default_tty1_ops: {
        put_char(tty, val) {
          if (val === null || val === 10) {
            err2(UTF8ArrayToString(tty.output));
            tty.output = [];
          } else {
            if (val != 0) tty.output.push(val);
          }
        },
        fsync(tty) {
          if (tty.output?.length > 0) {
            err2(UTF8ArrayToString(tty.output));
            tty.output = [];
          }
        }
      }
    };
    var zeroMemory = (ptr, size) => HEAPU8.fill(0, ptr, ptr + size);
    var alignMemory = (size, alignment) => Math.ceil(size / alignment) * alignment;
    var mmapAlloc = (size) => {
      size = alignMemory(size, 65536);
      var ptr = _emscripten_builtin_memalign(65536, size);
      if (ptr) zeroMemory(ptr, size);
      return ptr;
    };
    var MEMFS = {
      ops_table: null,
      mount(mount) {
        return MEMFS.createNode(null, "/", 16895, 0);
      },
      createNode(parent, name, mode, dev) {
        if (FS.isBlkdev(mode) || FS.isFIFO(mode)) {
          throw new FS.ErrnoError(63);
        }
        MEMFS.ops_table ||= {
          dir: {
            node: {
              getattr: MEMFS.node_ops.getattr,
              setattr: MEMFS.node_ops.setattr,
              lookup: MEMFS.node_ops.lookup,
              mknod: MEMFS.node_ops.mknod,
              rename: MEMFS.node_ops.rename,
              unlink: MEMFS.node_ops.unlink,
              rmdir: MEMFS.node_ops.rmdir,
              readdir: MEMFS.node_ops.readdir,
              symlink: MEMFS.node_ops.symlink
            },
            stream: {
              llseek: MEMFS.stream_ops.llseek
            }
          },
          file: {
            node: {
              getattr: MEMFS.node_ops.getattr,
              setattr: MEMFS.node_ops.setattr
            },
            stream: {
              llseek: MEMFS.stream_ops.llseek,
              read: MEMFS.stream_ops.read,
              write: MEMFS.stream_ops.write,
              mmap: MEMFS.stream_ops.mmap,
              msync: MEMFS.stream_ops.msync
            }
          },
          link: {
            node: {
              getattr: MEMFS.node_ops.getattr,
              setattr: MEMFS.node_ops.setattr,
              readlink: MEMFS.node_ops.readlink
            },
            stream: {}
          },
          chrdev: {
            node: {
              getattr: MEMFS.node_ops.getattr,
              setattr: MEMFS.node_ops.setattr
            },
            stream: FS.chrdev_stream_ops
          }
        };
        var node = FS.createNode(parent, name, mode, dev);
        if (FS.isDir(node.mode)) {
          node.node_ops = MEMFS.ops_table.dir.node;
          node.stream_ops = MEMFS.ops_table.dir.stream;
          node.contents = {};
        } else if (FS.isFile(node.mode)) {
          node.node_ops = MEMFS.ops_table.file.node;
          node.stream_ops = MEMFS.ops_table.file.stream;
          node.usedBytes = 0;
          node.contents = MEMFS.emptyFileContents ??= new Uint8Array(0);
        } else if (FS.isLink(node.mode)) {
          node.node_ops = MEMFS.ops_table.link.node;
          node.stream_ops = MEMFS.ops_table.link.stream;
        } else if (FS.isChrdev(node.mode)) {
          node.node_ops = MEMFS.ops_table.chrdev.node;
          node.stream_ops = MEMFS.ops_table.chrdev.stream;
        }
        node.atime = node.mtime = node.ctime = Date.now();
        if (parent) {
          parent.contents[name] = node;
          parent.atime = parent.mtime = parent.ctime = node.atime;
        }
        return node;
      },
      getFileDataAsTypedArray(node) {
        return node.contents.subarray(0, node.usedBytes);
      },
      expandFileStorage(node, newCapacity) {
        var prevCapacity = node.contents.length;
        if (prevCapacity >= newCapacity) return;
        var CAPACITY_DOUBLING_MAX = 1024 * 1024;
        newCapacity = Math.max(newCapacity, prevCapacity * (prevCapacity < CAPACITY_DOUBLING_MAX ? 2 : 1.125) >>> 0);
        if (prevCapacity) newCapacity = Math.max(newCapacity, 256);
        var oldContents = MEMFS.getFileDataAsTypedArray(node);
        node.contents = new Uint8Array(newCapacity);
        node.contents.set(oldContents);
      },
      resizeFileStorage(node, newSize) {
        if (node.usedBytes == newSize) return;
        var oldContents = node.contents;
        node.contents = new Uint8Array(newSize);
        node.contents.set(oldContents.subarray(0, Math.min(newSize, node.usedBytes)));
        node.usedBytes = newSize;
      },
      node_ops: {
        getattr(node) {
          var attr = {};
          attr.dev = FS.isChrdev(node.mode) ? node.id : 1;
          attr.ino = node.id;
          attr.mode = node.mode;
          attr.nlink = 1;
          attr.uid = 0;
          attr.gid = 0;
          attr.rdev = node.rdev;
          if (FS.isDir(node.mode)) {
            attr.size = 4096;
          } else if (FS.isFile(node.mode)) {
            attr.size = node.usedBytes;
          } else if (FS.isLink(node.mode)) {
            attr.size = node.link.length;
          } else {
            attr.size = 0;
          }
          attr.atime = new Date(node.atime);
          attr.mtime = new Date(node.mtime);
          attr.ctime = new Date(node.ctime);
          attr.blksize = 4096;
          attr.blocks = Math.ceil(attr.size / attr.blksize);
          return attr;
        },
        setattr(node, attr) {
          for (const key of ["mode", "atime", "mtime", "ctime"]) {
            if (attr[key] != null) {
              node[key] = attr[key];
            }
          }
          if (attr.size !== void 0) {
            MEMFS.resizeFileStorage(node, attr.size);
          }
        },
        lookup(parent, name) {
          if (!MEMFS.doesNotExistError) {
            MEMFS.doesNotExistError = new FS.ErrnoError(44);
            MEMFS.doesNotExistError.stack = "<generic error, no stack>";
          }
          throw MEMFS.doesNotExistError;
        },
        mknod(parent, name, mode, dev) {
          return MEMFS.createNode(parent, name, mode, dev);
        },
        rename(old_node, new_dir, new_name) {
          var new_node;
          try {
            new_node = FS.lookupNode(new_dir, new_name);
          } catch (e) {
          }
          if (new_node) {
            if (FS.isDir(old_node.mode)) {
              for (var i2 in new_node.contents) {
                throw new FS.ErrnoError(55);
              }
            }
            FS.hashRemoveNode(new_node);
          }
          delete old_node.parent.contents[old_node.name];
          new_dir.contents[new_name] = old_node;
          old_node.name = new_name;
          new_dir.ctime = new_dir.mtime = old_node.parent.ctime = old_node.parent.mtime = Date.now();
        },
        unlink(parent, name) {
          delete parent.contents[name];
          parent.ctime = parent.mtime = Date.now();
        },
        rmdir(parent, name) {
          var node = FS.lookupNode(parent, name);
          for (var i2 in node.contents) {
            throw new FS.ErrnoError(55);
          }
          delete parent.contents[name];
          parent.ctime = parent.mtime = Date.now();
        },
        readdir(node) {
          return [".", "..", ...Object.keys(node.contents)];
        },
        symlink(parent, newname, oldpath) {
          var node = MEMFS.createNode(parent, newname, 511 | 40960, 0);
          node.link = oldpath;
          return node;
        },
        readlink(node) {
          if (!FS.isLink(node.mode)) {
            throw new FS.ErrnoError(28);
          }
          return node.link;
        }
      },
      stream_ops: {
        read(stream, buffer, offset, length, position) {
          var contents = stream.node.contents;
          if (position >= stream.node.usedBytes) return 0;
          var size = Math.min(stream.node.usedBytes - position, length);
          buffer.set(contents.subarray(position, position + size), offset);
          return size;
        },
        write(stream, buffer, offset, length, position, canOwn) {
          if (buffer.buffer === HEAP8.buffer) {
            canOwn = false;
          }
          if (!length) return 0;
          var node = stream.node;
          node.mtime = node.ctime = Date.now();
          if (canOwn) {
            node.contents = buffer.subarray(offset, offset + length);
            node.usedBytes = length;
          } else if (node.usedBytes === 0 && position === 0) {
            node.contents = buffer.slice(offset, offset + length);
            node.usedBytes = length;
          } else {
            MEMFS.expandFileStorage(node, position + length);
            node.contents.set(buffer.subarray(offset, offset + length), position);
            node.usedBytes = Math.max(node.usedBytes, position + length);
          }
          return length;
        },
        llseek(stream, offset, whence) {
          var position = offset;
          if (whence === 1) {
            position += stream.position;
          } else if (whence === 2) {
            if (FS.isFile(stream.node.mode)) {
              position += stream.node.usedBytes;
            }
          }
          if (position < 0) {
            throw new FS.ErrnoError(28);
          }
          return position;
        },
        mmap(stream, length, position, prot, flags) {
          if (!FS.isFile(stream.node.mode)) {
            throw new FS.ErrnoError(43);
          }
          var ptr;
          var allocated;
          var contents = stream.node.contents;
          if (!(flags & 2) && contents.buffer === HEAP8.buffer) {
            allocated = false;
            ptr = contents.byteOffset;
          } else {
            allocated = true;
            ptr = mmapAlloc(length);
            if (!ptr) {
              throw new FS.ErrnoError(48);
            }
            if (contents) {
              if (position > 0 || position + length < contents.length) {
                if (contents.subarray) {
                  contents = contents.subarray(position, position + length);
                } else {
                  contents = Array.prototype.slice.call(contents, position, position + length);
                }
              }
              HEAP8.set(contents, ptr);
            }
          }
          return {
            ptr,
            allocated
          };
        },
        msync(stream, buffer, offset, length, mmapFlags) {
          MEMFS.stream_ops.write(stream, buffer, 0, length, offset, false);
          return 0;
        }
      }
    };
    var FS_modeStringToFlags = (str) => {
      if (typeof str != "string") return str;
      var flagModes = {
        "r": 0,
        "r+": 2,
        "w": 512 | 64 | 1,
        "w+": 512 | 64 | 2,
        "a": 1024 | 64 | 1,
        "a+": 1024 | 64 | 2
      };
      var flags = flagModes[str];
      if (typeof flags == "undefined") {
        throw new Error(`Unknown file open mode: ${str}`);
      }
      return flags;
    };
    var FS_fileDataToTypedArray = (data) => {
      if (typeof data == "string") {
        data = intArrayFromString(data, true);
      }
      if (!data.subarray) {
        data = new Uint8Array(data);
      }
      return data;
    };
    var FS_getMode = (canRead, canWrite) => {
      var mode = 0;
      if (canRead) mode |= 292 | 73;
      if (canWrite) mode |= 146;
      return mode;
    };
    var asyncLoad = async (url) => {
      var arrayBuffer = await readAsync(url);
      return new Uint8Array(arrayBuffer);
    };
    var FS_createDataFile = (...args) => FS.createDataFile(...args);
    var getUniqueRunDependency = (id) => id;
    var runDependencies = 0;
    var dependenciesFulfilled = null;
    var removeRunDependency = (id) => {
      runDependencies--;
      Module["monitorRunDependencies"]?.(runDependencies);
      if (runDependencies == 0) {
        if (dependenciesFulfilled) {
          var callback = dependenciesFulfilled;
          dependenciesFulfilled = null;
          callback();
        }
      }
    };
    var addRunDependency = (id) => {
      runDependencies++;
      Module["monitorRunDependencies"]?.(runDependencies);
    };
    var FS_handledByPreloadPlugin = async (byteArray, fullname) => {
      if (typeof Browser != "undefined") Browser.init();
      for (var plugin of preloadPlugins) {
        if (plugin["canHandle"](fullname)) {
          return plugin["handle"](byteArray, fullname);
        }
      }
      return byteArray;
    };
    var FS_preloadFile = async (parent, name, url, canRead, canWrite, dontCreateFile, canOwn, preFinish) => {
      var fullname = name ? PATH_FS.resolve(PATH2.join2(parent, name)) : parent;
      var dep = getUniqueRunDependency(`cp ${fullname}`);
      addRunDependency(dep);
      try {
        var byteArray = url;
        if (typeof url == "string") {
          byteArray = await asyncLoad(url);
        }
        byteArray = await FS_handledByPreloadPlugin(byteArray, fullname);
        preFinish?.();
        if (!dontCreateFile) {
          FS_createDataFile(parent, name, byteArray, canRead, canWrite, canOwn);
        }
      } finally {
        removeRunDependency(dep);
      }
    };
    var FS_createPreloadedFile = (parent, name, url, canRead, canWrite, onload, onerror, dontCreateFile, canOwn, preFinish) => {
      FS_preloadFile(parent, name, url, canRead, canWrite, dontCreateFile, canOwn, preFinish).then(onload).catch(onerror);
    };
    var FS = {
      root: null,
      mounts: [],
      devices: {},
      streams: [],
      nextInode: 1,
      nameTable: null,
      currentPath: "/",
      initialized: false,
      ignorePermissions: true,
      filesystems: null,
      syncFSRequests: 0,
      ErrnoError: class {
        name = "ErrnoError";
        // We set the `name` property to be able to identify `FS.ErrnoError`
        // - the `name` is a standard ECMA-262 property of error objects. Kind of good to have it anyway.
        // - when using PROXYFS, an error can come from an underlying FS
        // as different FS objects have their own FS.ErrnoError each,
        // the test `err instanceof FS.ErrnoError` won't detect an error coming from another filesystem, causing bugs.
        // we'll use the reliable test `err.name == "ErrnoError"` instead
        constructor(errno) {
          this.errno = errno;
        }
      },
      FSStream: class {
        shared = {};
        get object() {
          return this.node;
        }
        set object(val) {
          this.node = val;
        }
        get isRead() {
          return (this.flags & 2097155) !== 1;
        }
        get isWrite() {
          return (this.flags & 2097155) !== 0;
        }
        get isAppend() {
          return this.flags & 1024;
        }
        get flags() {
          return this.shared.flags;
        }
        set flags(val) {
          this.shared.flags = val;
        }
        get position() {
          return this.shared.position;
        }
        set position(val) {
          this.shared.position = val;
        }
      },
      FSNode: class {
        node_ops = {};
        stream_ops = {};
        readMode = 292 | 73;
        writeMode = 146;
        mounted = null;
        constructor(parent, name, mode, rdev) {
          if (!parent) {
            parent = this;
          }
          this.parent = parent;
          this.mount = parent.mount;
          this.id = FS.nextInode++;
          this.name = name;
          this.mode = mode;
          this.rdev = rdev;
          this.atime = this.mtime = this.ctime = Date.now();
        }
        get read() {
          return (this.mode & this.readMode) === this.readMode;
        }
        set read(val) {
          val ? this.mode |= this.readMode : this.mode &= ~this.readMode;
        }
        get write() {
          return (this.mode & this.writeMode) === this.writeMode;
        }
        set write(val) {
          val ? this.mode |= this.writeMode : this.mode &= ~this.writeMode;
        }
        get isFolder() {
          return FS.isDir(this.mode);
        }
        get isDevice() {
          return FS.isChrdev(this.mode);
        }
      },
      lookupPath(path, opts = {}) {
        if (!path) {
          throw new FS.ErrnoError(44);
        }
        opts.follow_mount ??= true;
        if (!PATH2.isAbs(path)) {
          path = FS.cwd() + "/" + path;
        }
        linkloop: for (var nlinks = 0; nlinks < 40; nlinks++) {
          var parts = path.split("/").filter((p) => !!p);
          var current = FS.root;
          var current_path = "/";
          for (var i2 = 0; i2 < parts.length; i2++) {
            var islast = i2 === parts.length - 1;
            if (islast && opts.parent) {
              break;
            }
            if (parts[i2] === ".") {
              continue;
            }
            if (parts[i2] === "..") {
              current_path = PATH2.dirname(current_path);
              if (FS.isRoot(current)) {
                path = current_path + "/" + parts.slice(i2 + 1).join("/");
                nlinks--;
                continue linkloop;
              } else {
                current = current.parent;
              }
              continue;
            }
            current_path = PATH2.join2(current_path, parts[i2]);
            try {
              current = FS.lookupNode(current, parts[i2]);
            } catch (e) {
              if (e?.errno === 44 && islast && opts.noent_okay) {
                return {
                  path: current_path
                };
              }
              throw e;
            }
            if (FS.isMountpoint(current) && (!islast || opts.follow_mount)) {
              current = current.mounted.root;
            }
            if (FS.isLink(current.mode) && (!islast || opts.follow)) {
              if (!current.node_ops.readlink) {
                throw new FS.ErrnoError(52);
              }
              var link = current.node_ops.readlink(current);
              if (!PATH2.isAbs(link)) {
                link = PATH2.dirname(current_path) + "/" + link;
              }
              path = link + "/" + parts.slice(i2 + 1).join("/");
              continue linkloop;
            }
          }
          return {
            path: current_path,
            node: current
          };
        }
        throw new FS.ErrnoError(32);
      },
      getPath(node) {
        var path;
        while (true) {
          if (FS.isRoot(node)) {
            var mount = node.mount.mountpoint;
            if (!path) return mount;
            return mount[mount.length - 1] !== "/" ? `${mount}/${path}` : mount + path;
          }
          path = path ? `${node.name}/${path}` : node.name;
          node = node.parent;
        }
      },
      hashName(parentid, name) {
        var hash = 0;
        for (var i2 = 0; i2 < name.length; i2++) {
          hash = (hash << 5) - hash + name.charCodeAt(i2) | 0;
        }
        return (parentid + hash >>> 0) % FS.nameTable.length;
      },
      hashAddNode(node) {
        var hash = FS.hashName(node.parent.id, node.name);
        node.name_next = FS.nameTable[hash];
        FS.nameTable[hash] = node;
      },
      hashRemoveNode(node) {
        var hash = FS.hashName(node.parent.id, node.name);
        if (FS.nameTable[hash] === node) {
          FS.nameTable[hash] = node.name_next;
        } else {
          var current = FS.nameTable[hash];
          while (current) {
            if (current.name_next === node) {
              current.name_next = node.name_next;
              break;
            }
            current = current.name_next;
          }
        }
      },
      lookupNode(parent, name) {
        var errCode = FS.mayLookup(parent);
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        var hash = FS.hashName(parent.id, name);
        for (var node = FS.nameTable[hash]; node; node = node.name_next) {
          var nodeName = node.name;
          if (node.parent.id === parent.id && nodeName === name) {
            return node;
          }
        }
        return FS.lookup(parent, name);
      },
      createNode(parent, name, mode, rdev) {
        var node = new FS.FSNode(parent, name, mode, rdev);
        FS.hashAddNode(node);
        return node;
      },
      destroyNode(node) {
        FS.hashRemoveNode(node);
      },
      isRoot(node) {
        return node === node.parent;
      },
      isMountpoint(node) {
        return !!node.mounted;
      },
      isFile(mode) {
        return (mode & 61440) === 32768;
      },
      isDir(mode) {
        return (mode & 61440) === 16384;
      },
      isLink(mode) {
        return (mode & 61440) === 40960;
      },
      isChrdev(mode) {
        return (mode & 61440) === 8192;
      },
      isBlkdev(mode) {
        return (mode & 61440) === 24576;
      },
      isFIFO(mode) {
        return (mode & 61440) === 4096;
      },
      isSocket(mode) {
        return (mode & 49152) === 49152;
      },
      flagsToPermissionString(flag) {
        var perms = ["r", "w", "rw"][flag & 3];
        if (flag & 512) {
          perms += "w";
        }
        return perms;
      },
      nodePermissions(node, perms) {
        if (FS.ignorePermissions) {
          return 0;
        }
        if (perms.includes("r") && !(node.mode & 292)) {
          return 2;
        }
        if (perms.includes("w") && !(node.mode & 146)) {
          return 2;
        }
        if (perms.includes("x") && !(node.mode & 73)) {
          return 2;
        }
        return 0;
      },
      mayLookup(dir) {
        if (!FS.isDir(dir.mode)) return 54;
        var errCode = FS.nodePermissions(dir, "x");
        if (errCode) return errCode;
        if (!dir.node_ops.lookup) return 2;
        return 0;
      },
      mayCreate(dir, name) {
        if (!FS.isDir(dir.mode)) {
          return 54;
        }
        try {
          var node = FS.lookupNode(dir, name);
          return 20;
        } catch (e) {
        }
        return FS.nodePermissions(dir, "wx");
      },
      mayDelete(dir, name, isdir) {
        var node;
        try {
          node = FS.lookupNode(dir, name);
        } catch (e) {
          return e.errno;
        }
        var errCode = FS.nodePermissions(dir, "wx");
        if (errCode) {
          return errCode;
        }
        if (isdir) {
          if (!FS.isDir(node.mode)) {
            return 54;
          }
          if (FS.isRoot(node) || FS.getPath(node) === FS.cwd()) {
            return 10;
          }
        } else if (FS.isDir(node.mode)) {
          return 31;
        }
        return 0;
      },
      mayOpen(node, flags) {
        if (!node) {
          return 44;
        }
        if (FS.isLink(node.mode)) {
          return 32;
        }
        var mode = FS.flagsToPermissionString(flags);
        if (FS.isDir(node.mode)) {
          if (mode !== "r" || flags & (512 | 64)) {
            return 31;
          }
        }
        return FS.nodePermissions(node, mode);
      },
      checkOpExists(op, err3) {
        if (!op) {
          throw new FS.ErrnoError(err3);
        }
        return op;
      },
      MAX_OPEN_FDS: 4096,
      nextfd() {
        for (var fd2 = 0; fd2 <= FS.MAX_OPEN_FDS; fd2++) {
          if (!FS.streams[fd2]) {
            return fd2;
          }
        }
        throw new FS.ErrnoError(33);
      },
      getStreamChecked(fd2) {
        var stream = FS.getStream(fd2);
        if (!stream) {
          throw new FS.ErrnoError(8);
        }
        return stream;
      },
      getStream: (fd2) => FS.streams[fd2],
      createStream(stream, fd2 = -1) {
        stream = Object.assign(new FS.FSStream(), stream);
        if (fd2 == -1) {
          fd2 = FS.nextfd();
        }
        stream.fd = fd2;
        FS.streams[fd2] = stream;
        return stream;
      },
      closeStream(fd2) {
        FS.streams[fd2] = null;
      },
      dupStream(origStream, fd2 = -1) {
        var stream = FS.createStream(origStream, fd2);
        stream.stream_ops?.dup?.(stream);
        return stream;
      },
      doSetAttr(stream, node, attr) {
        var setattr = stream?.stream_ops.setattr;
        var arg = setattr ? stream : node;
        setattr ??= node.node_ops.setattr;
        FS.checkOpExists(setattr, 63);
        try {
          setattr(arg, attr);
        } catch (e) {
          if (e instanceof RangeError) {
            throw new FS.ErrnoError(22);
          }
          throw e;
        }
      },
      chrdev_stream_ops: {
        open(stream) {
          var device = FS.getDevice(stream.node.rdev);
          stream.stream_ops = device.stream_ops;
          stream.stream_ops.open?.(stream);
        },
        llseek() {
          throw new FS.ErrnoError(70);
        }
      },
      major: (dev) => dev >> 8,
      minor: (dev) => dev & 255,
      makedev: (ma, mi) => ma << 8 | mi,
      registerDevice(dev, ops) {
        FS.devices[dev] = {
          stream_ops: ops
        };
      },
      getDevice: (dev) => FS.devices[dev],
      getMounts(mount) {
        var mounts = [];
        var check = [mount];
        while (check.length) {
          var m = check.pop();
          mounts.push(m);
          check.push(...m.mounts);
        }
        return mounts;
      },
      syncfs(populate, callback) {
        if (typeof populate == "function") {
          callback = populate;
          populate = false;
        }
        FS.syncFSRequests++;
        if (FS.syncFSRequests > 1) {
          err2(`warning: ${FS.syncFSRequests} FS.syncfs operations in flight at once, probably just doing extra work`);
        }
        var mounts = FS.getMounts(FS.root.mount);
        var completed = 0;
        function doCallback(errCode) {
          FS.syncFSRequests--;
          return callback(errCode);
        }
        function done(errCode) {
          if (errCode) {
            if (!done.errored) {
              done.errored = true;
              return doCallback(errCode);
            }
            return;
          }
          if (++completed >= mounts.length) {
            doCallback(null);
          }
        }
        for (var mount of mounts) {
          if (mount.type.syncfs) {
            mount.type.syncfs(mount, populate, done);
          } else {
            done(null);
          }
        }
      },
      mount(type, opts, mountpoint) {
        var root = mountpoint === "/";
        var pseudo = !mountpoint;
        var node;
        if (root && FS.root) {
          throw new FS.ErrnoError(10);
        } else if (!root && !pseudo) {
          var lookup = FS.lookupPath(mountpoint, {
            follow_mount: false
          });
          mountpoint = lookup.path;
          node = lookup.node;
          if (FS.isMountpoint(node)) {
            throw new FS.ErrnoError(10);
          }
          if (!FS.isDir(node.mode)) {
            throw new FS.ErrnoError(54);
          }
        }
        var mount = {
          type,
          opts,
          mountpoint,
          mounts: []
        };
        var mountRoot = type.mount(mount);
        mountRoot.mount = mount;
        mount.root = mountRoot;
        if (root) {
          FS.root = mountRoot;
        } else if (node) {
          node.mounted = mount;
          if (node.mount) {
            node.mount.mounts.push(mount);
          }
        }
        return mountRoot;
      },
      unmount(mountpoint) {
        var lookup = FS.lookupPath(mountpoint, {
          follow_mount: false
        });
        if (!FS.isMountpoint(lookup.node)) {
          throw new FS.ErrnoError(28);
        }
        var node = lookup.node;
        var mount = node.mounted;
        var mounts = FS.getMounts(mount);
        for (var [hash, current] of Object.entries(FS.nameTable)) {
          while (current) {
            var next = current.name_next;
            if (mounts.includes(current.mount)) {
              FS.destroyNode(current);
            }
            current = next;
          }
        }
        node.mounted = null;
        var idx = node.mount.mounts.indexOf(mount);
        node.mount.mounts.splice(idx, 1);
      },
      lookup(parent, name) {
        return parent.node_ops.lookup(parent, name);
      },
      mknod(path, mode, dev) {
        var lookup = FS.lookupPath(path, {
          parent: true
        });
        var parent = lookup.node;
        var name = PATH2.basename(path);
        if (!name) {
          throw new FS.ErrnoError(28);
        }
        if (name === "." || name === "..") {
          throw new FS.ErrnoError(20);
        }
        var errCode = FS.mayCreate(parent, name);
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        if (!parent.node_ops.mknod) {
          throw new FS.ErrnoError(63);
        }
        return parent.node_ops.mknod(parent, name, mode, dev);
      },
      statfs(path) {
        return FS.statfsNode(FS.lookupPath(path, {
          follow: true
        }).node);
      },
      statfsStream(stream) {
        return FS.statfsNode(stream.node);
      },
      statfsNode(node) {
        var rtn = {
          bsize: 4096,
          frsize: 4096,
          blocks: 1e6,
          bfree: 5e5,
          bavail: 5e5,
          files: FS.nextInode,
          ffree: FS.nextInode - 1,
          fsid: 42,
          flags: 2,
          namelen: 255
        };
        if (node.node_ops.statfs) {
          Object.assign(rtn, node.node_ops.statfs(node.mount.opts.root));
        }
        return rtn;
      },
      create(path, mode = 438) {
        mode &= 4095;
        mode |= 32768;
        return FS.mknod(path, mode, 0);
      },
      mkdir(path, mode = 511) {
        mode &= 511 | 512;
        mode |= 16384;
        return FS.mknod(path, mode, 0);
      },
      mkdirTree(path, mode) {
        var dirs = path.split("/");
        var d = "";
        for (var dir of dirs) {
          if (!dir) continue;
          if (d || PATH2.isAbs(path)) d += "/";
          d += dir;
          try {
            FS.mkdir(d, mode);
          } catch (e) {
            if (e.errno != 20) throw e;
          }
        }
      },
      mkdev(path, mode, dev) {
        if (typeof dev == "undefined") {
          dev = mode;
          mode = 438;
        }
        mode |= 8192;
        return FS.mknod(path, mode, dev);
      },
      symlink(oldpath, newpath) {
        if (!PATH_FS.resolve(oldpath)) {
          throw new FS.ErrnoError(44);
        }
        var lookup = FS.lookupPath(newpath, {
          parent: true
        });
        var parent = lookup.node;
        if (!parent) {
          throw new FS.ErrnoError(44);
        }
        var newname = PATH2.basename(newpath);
        var errCode = FS.mayCreate(parent, newname);
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        if (!parent.node_ops.symlink) {
          throw new FS.ErrnoError(63);
        }
        return parent.node_ops.symlink(parent, newname, oldpath);
      },
      rename(old_path, new_path) {
        var old_dirname = PATH2.dirname(old_path);
        var new_dirname = PATH2.dirname(new_path);
        var old_name = PATH2.basename(old_path);
        var new_name = PATH2.basename(new_path);
        var lookup, old_dir, new_dir;
        lookup = FS.lookupPath(old_path, {
          parent: true
        });
        old_dir = lookup.node;
        lookup = FS.lookupPath(new_path, {
          parent: true
        });
        new_dir = lookup.node;
        if (!old_dir || !new_dir) throw new FS.ErrnoError(44);
        if (old_dir.mount !== new_dir.mount) {
          throw new FS.ErrnoError(75);
        }
        var old_node = FS.lookupNode(old_dir, old_name);
        var relative = PATH_FS.relative(old_path, new_dirname);
        if (relative.charAt(0) !== ".") {
          throw new FS.ErrnoError(28);
        }
        relative = PATH_FS.relative(new_path, old_dirname);
        if (relative.charAt(0) !== ".") {
          throw new FS.ErrnoError(55);
        }
        var new_node;
        try {
          new_node = FS.lookupNode(new_dir, new_name);
        } catch (e) {
        }
        if (old_node === new_node) {
          return;
        }
        var isdir = FS.isDir(old_node.mode);
        var errCode = FS.mayDelete(old_dir, old_name, isdir);
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        errCode = new_node ? FS.mayDelete(new_dir, new_name, isdir) : FS.mayCreate(new_dir, new_name);
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        if (!old_dir.node_ops.rename) {
          throw new FS.ErrnoError(63);
        }
        if (FS.isMountpoint(old_node) || new_node && FS.isMountpoint(new_node)) {
          throw new FS.ErrnoError(10);
        }
        if (new_dir !== old_dir) {
          errCode = FS.nodePermissions(old_dir, "w");
          if (errCode) {
            throw new FS.ErrnoError(errCode);
          }
        }
        FS.hashRemoveNode(old_node);
        try {
          old_dir.node_ops.rename(old_node, new_dir, new_name);
          old_node.parent = new_dir;
        } catch (e) {
          throw e;
        } finally {
          FS.hashAddNode(old_node);
        }
      },
      rmdir(path) {
        var lookup = FS.lookupPath(path, {
          parent: true
        });
        var parent = lookup.node;
        var name = PATH2.basename(path);
        var node = FS.lookupNode(parent, name);
        var errCode = FS.mayDelete(parent, name, true);
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        if (!parent.node_ops.rmdir) {
          throw new FS.ErrnoError(63);
        }
        if (FS.isMountpoint(node)) {
          throw new FS.ErrnoError(10);
        }
        parent.node_ops.rmdir(parent, name);
        FS.destroyNode(node);
      },
      readdir(path) {
        var lookup = FS.lookupPath(path, {
          follow: true
        });
        var node = lookup.node;
        var readdir = FS.checkOpExists(node.node_ops.readdir, 54);
        return readdir(node);
      },
      unlink(path) {
        var lookup = FS.lookupPath(path, {
          parent: true
        });
        var parent = lookup.node;
        if (!parent) {
          throw new FS.ErrnoError(44);
        }
        var name = PATH2.basename(path);
        var node = FS.lookupNode(parent, name);
        var errCode = FS.mayDelete(parent, name, false);
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        if (!parent.node_ops.unlink) {
          throw new FS.ErrnoError(63);
        }
        if (FS.isMountpoint(node)) {
          throw new FS.ErrnoError(10);
        }
        parent.node_ops.unlink(parent, name);
        FS.destroyNode(node);
      },
      readlink(path) {
        var lookup = FS.lookupPath(path);
        var link = lookup.node;
        if (!link) {
          throw new FS.ErrnoError(44);
        }
        if (!link.node_ops.readlink) {
          throw new FS.ErrnoError(28);
        }
        return link.node_ops.readlink(link);
      },
      stat(path, dontFollow) {
        var lookup = FS.lookupPath(path, {
          follow: !dontFollow
        });
        var node = lookup.node;
        var getattr = FS.checkOpExists(node.node_ops.getattr, 63);
        return getattr(node);
      },
      fstat(fd2) {
        var stream = FS.getStreamChecked(fd2);
        var node = stream.node;
        var getattr = stream.stream_ops.getattr;
        var arg = getattr ? stream : node;
        getattr ??= node.node_ops.getattr;
        FS.checkOpExists(getattr, 63);
        return getattr(arg);
      },
      lstat(path) {
        return FS.stat(path, true);
      },
      doChmod(stream, node, mode, dontFollow) {
        FS.doSetAttr(stream, node, {
          mode: mode & 4095 | node.mode & ~4095,
          ctime: Date.now(),
          dontFollow
        });
      },
      chmod(path, mode, dontFollow) {
        var node;
        if (typeof path == "string") {
          var lookup = FS.lookupPath(path, {
            follow: !dontFollow
          });
          node = lookup.node;
        } else {
          node = path;
        }
        FS.doChmod(null, node, mode, dontFollow);
      },
      lchmod(path, mode) {
        FS.chmod(path, mode, true);
      },
      fchmod(fd2, mode) {
        var stream = FS.getStreamChecked(fd2);
        FS.doChmod(stream, stream.node, mode, false);
      },
      doChown(stream, node, dontFollow) {
        FS.doSetAttr(stream, node, {
          timestamp: Date.now(),
          dontFollow
        });
      },
      chown(path, uid, gid, dontFollow) {
        var node;
        if (typeof path == "string") {
          var lookup = FS.lookupPath(path, {
            follow: !dontFollow
          });
          node = lookup.node;
        } else {
          node = path;
        }
        FS.doChown(null, node, dontFollow);
      },
      lchown(path, uid, gid) {
        FS.chown(path, uid, gid, true);
      },
      fchown(fd2, uid, gid) {
        var stream = FS.getStreamChecked(fd2);
        FS.doChown(stream, stream.node, false);
      },
      doTruncate(stream, node, len) {
        if (FS.isDir(node.mode)) {
          throw new FS.ErrnoError(31);
        }
        if (!FS.isFile(node.mode)) {
          throw new FS.ErrnoError(28);
        }
        var errCode = FS.nodePermissions(node, "w");
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        FS.doSetAttr(stream, node, {
          size: len,
          timestamp: Date.now()
        });
      },
      truncate(path, len) {
        if (len < 0) {
          throw new FS.ErrnoError(28);
        }
        var node;
        if (typeof path == "string") {
          var lookup = FS.lookupPath(path, {
            follow: true
          });
          node = lookup.node;
        } else {
          node = path;
        }
        FS.doTruncate(null, node, len);
      },
      ftruncate(fd2, len) {
        var stream = FS.getStreamChecked(fd2);
        if (len < 0 || (stream.flags & 2097155) === 0) {
          throw new FS.ErrnoError(28);
        }
        FS.doTruncate(stream, stream.node, len);
      },
      utime(path, atime, mtime) {
        var lookup = FS.lookupPath(path, {
          follow: true
        });
        var node = lookup.node;
        var setattr = FS.checkOpExists(node.node_ops.setattr, 63);
        setattr(node, {
          atime,
          mtime
        });
      },
      open(path, flags, mode = 438) {
        if (path === "") {
          throw new FS.ErrnoError(44);
        }
        flags = FS_modeStringToFlags(flags);
        if (flags & 64) {
          mode = mode & 4095 | 32768;
        } else {
          mode = 0;
        }
        var node;
        var isDirPath;
        if (typeof path == "object") {
          node = path;
        } else {
          isDirPath = path.endsWith("/");
          var lookup = FS.lookupPath(path, {
            follow: !(flags & 131072),
            noent_okay: true
          });
          node = lookup.node;
          path = lookup.path;
        }
        var created = false;
        if (flags & 64) {
          if (node) {
            if (flags & 128) {
              throw new FS.ErrnoError(20);
            }
          } else if (isDirPath) {
            throw new FS.ErrnoError(31);
          } else {
            node = FS.mknod(path, mode | 511, 0);
            created = true;
          }
        }
        if (!node) {
          throw new FS.ErrnoError(44);
        }
        if (FS.isChrdev(node.mode)) {
          flags &= ~512;
        }
        if (flags & 65536 && !FS.isDir(node.mode)) {
          throw new FS.ErrnoError(54);
        }
        if (!created) {
          var errCode = FS.mayOpen(node, flags);
          if (errCode) {
            throw new FS.ErrnoError(errCode);
          }
        }
        if (flags & 512 && !created) {
          FS.truncate(node, 0);
        }
        flags &= ~(128 | 512 | 131072);
        var stream = FS.createStream({
          node,
          path: FS.getPath(node),
          // we want the absolute path to the node
          flags,
          seekable: true,
          position: 0,
          stream_ops: node.stream_ops,
          // used by the file family libc calls (fopen, fwrite, ferror, etc.)
          ungotten: [],
          error: false
        });
        if (stream.stream_ops.open) {
          stream.stream_ops.open(stream);
        }
        if (created) {
          FS.chmod(node, mode & 511);
        }
        return stream;
      },
      close(stream) {
        if (FS.isClosed(stream)) {
          throw new FS.ErrnoError(8);
        }
        if (stream.getdents) stream.getdents = null;
        try {
          if (stream.stream_ops.close) {
            stream.stream_ops.close(stream);
          }
        } catch (e) {
          throw e;
        } finally {
          FS.closeStream(stream.fd);
        }
        stream.fd = null;
      },
      isClosed(stream) {
        return stream.fd === null;
      },
      llseek(stream, offset, whence) {
        if (FS.isClosed(stream)) {
          throw new FS.ErrnoError(8);
        }
        if (!stream.seekable || !stream.stream_ops.llseek) {
          throw new FS.ErrnoError(70);
        }
        if (whence != 0 && whence != 1 && whence != 2) {
          throw new FS.ErrnoError(28);
        }
        stream.position = stream.stream_ops.llseek(stream, offset, whence);
        stream.ungotten = [];
        return stream.position;
      },
      read(stream, buffer, offset, length, position) {
        if (length < 0 || position < 0) {
          throw new FS.ErrnoError(28);
        }
        if (FS.isClosed(stream)) {
          throw new FS.ErrnoError(8);
        }
        if ((stream.flags & 2097155) === 1) {
          throw new FS.ErrnoError(8);
        }
        if (FS.isDir(stream.node.mode)) {
          throw new FS.ErrnoError(31);
        }
        if (!stream.stream_ops.read) {
          throw new FS.ErrnoError(28);
        }
        var seeking = typeof position != "undefined";
        if (!seeking) {
          position = stream.position;
        } else if (!stream.seekable) {
          throw new FS.ErrnoError(70);
        }
        var bytesRead = stream.stream_ops.read(stream, buffer, offset, length, position);
        if (!seeking) stream.position += bytesRead;
        return bytesRead;
      },
      write(stream, buffer, offset, length, position, canOwn) {
        if (length < 0 || position < 0) {
          throw new FS.ErrnoError(28);
        }
        if (FS.isClosed(stream)) {
          throw new FS.ErrnoError(8);
        }
        if ((stream.flags & 2097155) === 0) {
          throw new FS.ErrnoError(8);
        }
        if (FS.isDir(stream.node.mode)) {
          throw new FS.ErrnoError(31);
        }
        if (!stream.stream_ops.write) {
          throw new FS.ErrnoError(28);
        }
        if (stream.seekable && stream.flags & 1024) {
          FS.llseek(stream, 0, 2);
        }
        var seeking = typeof position != "undefined";
        if (!seeking) {
          position = stream.position;
        } else if (!stream.seekable) {
          throw new FS.ErrnoError(70);
        }
        var bytesWritten = stream.stream_ops.write(stream, buffer, offset, length, position, canOwn);
        if (!seeking) stream.position += bytesWritten;
        return bytesWritten;
      },
      mmap(stream, length, position, prot, flags) {
        if ((prot & 2) !== 0 && (flags & 2) === 0 && (stream.flags & 2097155) !== 2) {
          throw new FS.ErrnoError(2);
        }
        if ((stream.flags & 2097155) === 1) {
          throw new FS.ErrnoError(2);
        }
        if (!stream.stream_ops.mmap) {
          throw new FS.ErrnoError(43);
        }
        if (!length) {
          throw new FS.ErrnoError(28);
        }
        return stream.stream_ops.mmap(stream, length, position, prot, flags);
      },
      msync(stream, buffer, offset, length, mmapFlags) {
        if (!stream.stream_ops.msync) {
          return 0;
        }
        return stream.stream_ops.msync(stream, buffer, offset, length, mmapFlags);
      },
      ioctl(stream, cmd, arg) {
        if (!stream.stream_ops.ioctl) {
          throw new FS.ErrnoError(59);
        }
        return stream.stream_ops.ioctl(stream, cmd, arg);
      },
      readFile(path, opts = {}) {
        opts.flags = opts.flags ?? 0;
        opts.encoding = opts.encoding ?? "binary";
        if (opts.encoding !== "utf8" && opts.encoding !== "binary") {
          abort(`Invalid encoding type "${opts.encoding}"`);
        }
        var stream = FS.open(path, opts.flags);
        var stat = FS.stat(path);
        var length = stat.size;
        var buf = new Uint8Array(length);
        FS.read(stream, buf, 0, length, 0);
        if (opts.encoding === "utf8") {
          buf = UTF8ArrayToString(buf);
        }
        FS.close(stream);
        return buf;
      },
      writeFile(path, data, opts = {}) {
        opts.flags = opts.flags ?? 577;
        var stream = FS.open(path, opts.flags, opts.mode);
        data = FS_fileDataToTypedArray(data);
        FS.write(stream, data, 0, data.byteLength, void 0, opts.canOwn);
        FS.close(stream);
      },
      cwd: () => FS.currentPath,
      chdir(path) {
        var lookup = FS.lookupPath(path, {
          follow: true
        });
        if (lookup.node === null) {
          throw new FS.ErrnoError(44);
        }
        if (!FS.isDir(lookup.node.mode)) {
          throw new FS.ErrnoError(54);
        }
        var errCode = FS.nodePermissions(lookup.node, "x");
        if (errCode) {
          throw new FS.ErrnoError(errCode);
        }
        FS.currentPath = lookup.path;
      },
      createDefaultDirectories() {
        FS.mkdir("/tmp");
        FS.mkdir("/home");
        FS.mkdir("/home/web_user");
      },
      createDefaultDevices() {
        FS.mkdir("/dev");
        FS.registerDevice(FS.makedev(1, 3), {
          read: () => 0,
          write: (stream, buffer, offset, length, pos) => length,
          llseek: () => 0
        });
        FS.mkdev("/dev/null", FS.makedev(1, 3));
        TTY.register(FS.makedev(5, 0), TTY.default_tty_ops);
        TTY.register(FS.makedev(6, 0), TTY.default_tty1_ops);
        FS.mkdev("/dev/tty", FS.makedev(5, 0));
        FS.mkdev("/dev/tty1", FS.makedev(6, 0));
        var randomBuffer = new Uint8Array(1024), randomLeft = 0;
        var randomByte = () => {
          if (randomLeft === 0) {
            randomFill(randomBuffer);
            randomLeft = randomBuffer.byteLength;
          }
          return randomBuffer[--randomLeft];
        };
        FS.createDevice("/dev", "random", randomByte);
        FS.createDevice("/dev", "urandom", randomByte);
        FS.mkdir("/dev/shm");
        FS.mkdir("/dev/shm/tmp");
      },
      createSpecialDirectories() {
        FS.mkdir("/proc");
        var proc_self = FS.mkdir("/proc/self");
        FS.mkdir("/proc/self/fd");
        FS.mount({
          mount() {
            var node = FS.createNode(proc_self, "fd", 16895, 73);
            node.stream_ops = {
              llseek: MEMFS.stream_ops.llseek
            };
            node.node_ops = {
              lookup(parent, name) {
                var fd2 = +name;
                var stream = FS.getStreamChecked(fd2);
                var ret = {
                  parent: null,
                  mount: {
                    mountpoint: "fake"
                  },
                  node_ops: {
                    readlink: () => stream.path
                  },
                  id: fd2 + 1
                };
                ret.parent = ret;
                return ret;
              },
              readdir() {
                return Array.from(FS.streams.entries()).filter(([k, v]) => v).map(([k, v]) => k.toString());
              }
            };
            return node;
          }
        }, {}, "/proc/self/fd");
      },
      createStandardStreams(input, output, error) {
        if (input) {
          FS.createDevice("/dev", "stdin", input);
        } else {
          FS.symlink("/dev/tty", "/dev/stdin");
        }
        if (output) {
          FS.createDevice("/dev", "stdout", null, output);
        } else {
          FS.symlink("/dev/tty", "/dev/stdout");
        }
        if (error) {
          FS.createDevice("/dev", "stderr", null, error);
        } else {
          FS.symlink("/dev/tty1", "/dev/stderr");
        }
        var stdin = FS.open("/dev/stdin", 0);
        var stdout = FS.open("/dev/stdout", 1);
        var stderr = FS.open("/dev/stderr", 1);
      },
      staticInit() {
        FS.nameTable = new Array(4096);
        FS.mount(MEMFS, {}, "/");
        FS.createDefaultDirectories();
        FS.createDefaultDevices();
        FS.createSpecialDirectories();
        FS.filesystems = {
          "MEMFS": MEMFS
        };
      },
      init(input, output, error) {
        FS.initialized = true;
        input ??= Module["stdin"];
        output ??= Module["stdout"];
        error ??= Module["stderr"];
        FS.createStandardStreams(input, output, error);
      },
      quit() {
        FS.initialized = false;
        for (var stream of FS.streams) {
          if (stream) {
            FS.close(stream);
          }
        }
      },
      findObject(path, dontResolveLastLink) {
        var ret = FS.analyzePath(path, dontResolveLastLink);
        if (!ret.exists) {
          return null;
        }
        return ret.object;
      },
      analyzePath(path, dontResolveLastLink) {
        try {
          var lookup = FS.lookupPath(path, {
            follow: !dontResolveLastLink
          });
          path = lookup.path;
        } catch (e) {
        }
        var ret = {
          isRoot: false,
          exists: false,
          error: 0,
          name: null,
          path: null,
          object: null,
          parentExists: false,
          parentPath: null,
          parentObject: null
        };
        try {
          var lookup = FS.lookupPath(path, {
            parent: true
          });
          ret.parentExists = true;
          ret.parentPath = lookup.path;
          ret.parentObject = lookup.node;
          ret.name = PATH2.basename(path);
          lookup = FS.lookupPath(path, {
            follow: !dontResolveLastLink
          });
          ret.exists = true;
          ret.path = lookup.path;
          ret.object = lookup.node;
          ret.name = lookup.node.name;
          ret.isRoot = lookup.path === "/";
        } catch (e) {
          ret.error = e.errno;
        }
        return ret;
      },
      createPath(parent, path, canRead, canWrite) {
        parent = typeof parent == "string" ? parent : FS.getPath(parent);
        var parts = path.split("/").reverse();
        while (parts.length) {
          var part = parts.pop();
          if (!part) continue;
          var current = PATH2.join2(parent, part);
          try {
            FS.mkdir(current);
          } catch (e) {
            if (e.errno != 20) throw e;
          }
          parent = current;
        }
        return current;
      },
      createFile(parent, name, properties, canRead, canWrite) {
        var path = PATH2.join2(typeof parent == "string" ? parent : FS.getPath(parent), name);
        var mode = FS_getMode(canRead, canWrite);
        return FS.create(path, mode);
      },
      createDataFile(parent, name, data, canRead, canWrite, canOwn) {
        var path = name;
        if (parent) {
          parent = typeof parent == "string" ? parent : FS.getPath(parent);
          path = name ? PATH2.join2(parent, name) : parent;
        }
        var mode = FS_getMode(canRead, canWrite);
        var node = FS.create(path, mode);
        if (data) {
          data = FS_fileDataToTypedArray(data);
          FS.chmod(node, mode | 146);
          var stream = FS.open(node, 577);
          FS.write(stream, data, 0, data.length, 0, canOwn);
          FS.close(stream);
          FS.chmod(node, mode);
        }
      },
      createDevice(parent, name, input, output) {
        var path = PATH2.join2(typeof parent == "string" ? parent : FS.getPath(parent), name);
        var mode = FS_getMode(!!input, !!output);
        FS.createDevice.major ??= 64;
        var dev = FS.makedev(FS.createDevice.major++, 0);
        FS.registerDevice(dev, {
          open(stream) {
            stream.seekable = false;
          },
          close(stream) {
            if (output?.buffer?.length) {
              output(10);
            }
          },
          read(stream, buffer, offset, length, pos) {
            var bytesRead = 0;
            for (var i2 = 0; i2 < length; i2++) {
              var result;
              try {
                result = input();
              } catch (e) {
                throw new FS.ErrnoError(29);
              }
              if (result === void 0 && bytesRead === 0) {
                throw new FS.ErrnoError(6);
              }
              if (result === null || result === void 0) break;
              bytesRead++;
              buffer[offset + i2] = result;
            }
            if (bytesRead) {
              stream.node.atime = Date.now();
            }
            return bytesRead;
          },
          write(stream, buffer, offset, length, pos) {
            for (var i2 = 0; i2 < length; i2++) {
              try {
                output(buffer[offset + i2]);
              } catch (e) {
                throw new FS.ErrnoError(29);
              }
            }
            if (length) {
              stream.node.mtime = stream.node.ctime = Date.now();
            }
            return i2;
          }
        });
        return FS.mkdev(path, mode, dev);
      },
      forceLoadFile(obj) {
        if (obj.isDevice || obj.isFolder || obj.link || obj.contents) return true;
        if (globalThis.XMLHttpRequest) {
          abort("Lazy loading should have been performed (contents set) in createLazyFile, but it was not. Lazy loading only works in web workers. Use --embed-file or --preload-file in emcc on the main thread.");
        } else {
          try {
            obj.contents = readBinary(obj.url);
          } catch (e) {
            throw new FS.ErrnoError(29);
          }
        }
      },
      createLazyFile(parent, name, url, canRead, canWrite) {
        class LazyUint8Array {
          lengthKnown = false;
          chunks = [];
          // Loaded chunks. Index is the chunk number
          get(idx) {
            if (idx > this.length - 1 || idx < 0) {
              return void 0;
            }
            var chunkOffset = idx % this.chunkSize;
            var chunkNum = idx / this.chunkSize | 0;
            return this.getter(chunkNum)[chunkOffset];
          }
          setDataGetter(getter) {
            this.getter = getter;
          }
          cacheLength() {
            var xhr = new XMLHttpRequest();
            xhr.open("HEAD", url, false);
            xhr.send(null);
            if (!(xhr.status >= 200 && xhr.status < 300 || xhr.status === 304)) abort("Couldn't load " + url + ". Status: " + xhr.status);
            var datalength = Number(xhr.getResponseHeader("Content-length"));
            var header;
            var hasByteServing = (header = xhr.getResponseHeader("Accept-Ranges")) && header === "bytes";
            var usesGzip = (header = xhr.getResponseHeader("Content-Encoding")) && header === "gzip";
            var chunkSize = 1024 * 1024;
            if (!hasByteServing) chunkSize = datalength;
            var doXHR = (from, to) => {
              if (from > to) abort(`invalid range (${from}, ${to}) or no bytes requested!`);
              if (to > datalength - 1) abort(`only ${datalength} bytes available! programmer error!`);
              var xhr2 = new XMLHttpRequest();
              xhr2.open("GET", url, false);
              if (datalength !== chunkSize) xhr2.setRequestHeader("Range", "bytes=" + from + "-" + to);
              xhr2.responseType = "arraybuffer";
              if (xhr2.overrideMimeType) {
                xhr2.overrideMimeType("text/plain; charset=x-user-defined");
              }
              xhr2.send(null);
              if (!(xhr2.status >= 200 && xhr2.status < 300 || xhr2.status === 304)) abort("Couldn't load " + url + ". Status: " + xhr2.status);
              if (xhr2.response !== void 0) {
                return new Uint8Array(
                  /** @type{Array<number>} */
                  xhr2.response || []
                );
              }
              return intArrayFromString(xhr2.responseText ?? "", true);
            };
            var lazyArray2 = this;
            lazyArray2.setDataGetter((chunkNum) => {
              var start2 = chunkNum * chunkSize;
              var end = (chunkNum + 1) * chunkSize - 1;
              end = Math.min(end, datalength - 1);
              if (typeof lazyArray2.chunks[chunkNum] == "undefined") {
                lazyArray2.chunks[chunkNum] = doXHR(start2, end);
              }
              if (typeof lazyArray2.chunks[chunkNum] == "undefined") abort("doXHR failed!");
              return lazyArray2.chunks[chunkNum];
            });
            if (usesGzip || !datalength) {
              chunkSize = datalength = 1;
              datalength = this.getter(0).length;
              chunkSize = datalength;
              out("LazyFiles on gzip forces download of the whole file when length is accessed");
            }
            this._length = datalength;
            this._chunkSize = chunkSize;
            this.lengthKnown = true;
          }
          get length() {
            if (!this.lengthKnown) {
              this.cacheLength();
            }
            return this._length;
          }
          get chunkSize() {
            if (!this.lengthKnown) {
              this.cacheLength();
            }
            return this._chunkSize;
          }
        }
        if (globalThis.XMLHttpRequest) {
          if (!ENVIRONMENT_IS_WORKER) abort("Cannot do synchronous binary XHRs outside webworkers in modern browsers. Use --embed-file or --preload-file in emcc");
          var lazyArray = new LazyUint8Array();
          var properties = {
            isDevice: false,
            contents: lazyArray
          };
        } else {
          var properties = {
            isDevice: false,
            url
          };
        }
        var node = FS.createFile(parent, name, properties, canRead, canWrite);
        if (properties.contents) {
          node.contents = properties.contents;
        } else if (properties.url) {
          node.contents = null;
          node.url = properties.url;
        }
        Object.defineProperties(node, {
          usedBytes: {
            get: function() {
              return this.contents.length;
            }
          }
        });
        var stream_ops = {};
        for (const [key, fn] of Object.entries(node.stream_ops)) {
          stream_ops[key] = (...args) => {
            FS.forceLoadFile(node);
            return fn(...args);
          };
        }
        function writeChunks(stream, buffer, offset, length, position) {
          var contents = stream.node.contents;
          if (position >= contents.length) return 0;
          var size = Math.min(contents.length - position, length);
          if (contents.slice) {
            for (var i2 = 0; i2 < size; i2++) {
              buffer[offset + i2] = contents[position + i2];
            }
          } else {
            for (var i2 = 0; i2 < size; i2++) {
              buffer[offset + i2] = contents.get(position + i2);
            }
          }
          return size;
        }
        stream_ops.read = (stream, buffer, offset, length, position) => {
          FS.forceLoadFile(node);
          return writeChunks(stream, buffer, offset, length, position);
        };
        stream_ops.mmap = (stream, length, position, prot, flags) => {
          FS.forceLoadFile(node);
          var ptr = mmapAlloc(length);
          if (!ptr) {
            throw new FS.ErrnoError(48);
          }
          writeChunks(stream, HEAP8, ptr, length, position);
          return {
            ptr,
            allocated: true
          };
        };
        node.stream_ops = stream_ops;
        return node;
      }
    };
    var UTF8ToString = (ptr, maxBytesToRead, ignoreNul) => {
      if (!ptr) return "";
      var end = findStringEnd(HEAPU8, ptr, maxBytesToRead, ignoreNul);
      return UTF8Decoder.decode(HEAPU8.subarray(ptr, end));
    };
    var SYSCALLS = {
      currentUmask: 18,
      calculateAt(dirfd, path, allowEmpty) {
        if (PATH2.isAbs(path)) {
          return path;
        }
        var dir;
        if (dirfd === -100) {
          dir = FS.cwd();
        } else {
          var dirstream = SYSCALLS.getStreamFromFD(dirfd);
          dir = dirstream.path;
        }
        if (path.length == 0) {
          if (!allowEmpty) {
            throw new FS.ErrnoError(44);
          }
          return dir;
        }
        return dir + "/" + path;
      },
      writeStat(buf, stat) {
        HEAPU32[buf >> 2] = stat.dev;
        HEAPU32[buf + 4 >> 2] = stat.mode;
        HEAPU32[buf + 8 >> 2] = stat.nlink;
        HEAPU32[buf + 12 >> 2] = stat.uid;
        HEAPU32[buf + 16 >> 2] = stat.gid;
        HEAPU32[buf + 20 >> 2] = stat.rdev;
        tempI64 = [stat.size >>> 0, (tempDouble = stat.size, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 24 >> 2] = tempI64[0], HEAP32[buf + 28 >> 2] = tempI64[1];
        HEAP32[buf + 32 >> 2] = 4096;
        HEAP32[buf + 36 >> 2] = stat.blocks;
        var atime = stat.atime.getTime();
        var mtime = stat.mtime.getTime();
        var ctime = stat.ctime.getTime();
        tempI64 = [Math.floor(atime / 1e3) >>> 0, (tempDouble = Math.floor(atime / 1e3), +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 40 >> 2] = tempI64[0], HEAP32[buf + 44 >> 2] = tempI64[1];
        HEAPU32[buf + 48 >> 2] = atime % 1e3 * 1e3 * 1e3;
        tempI64 = [Math.floor(mtime / 1e3) >>> 0, (tempDouble = Math.floor(mtime / 1e3), +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 56 >> 2] = tempI64[0], HEAP32[buf + 60 >> 2] = tempI64[1];
        HEAPU32[buf + 64 >> 2] = mtime % 1e3 * 1e3 * 1e3;
        tempI64 = [Math.floor(ctime / 1e3) >>> 0, (tempDouble = Math.floor(ctime / 1e3), +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 72 >> 2] = tempI64[0], HEAP32[buf + 76 >> 2] = tempI64[1];
        HEAPU32[buf + 80 >> 2] = ctime % 1e3 * 1e3 * 1e3;
        tempI64 = [stat.ino >>> 0, (tempDouble = stat.ino, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 88 >> 2] = tempI64[0], HEAP32[buf + 92 >> 2] = tempI64[1];
        return 0;
      },
      writeStatFs(buf, stats) {
        HEAPU32[buf + 4 >> 2] = stats.bsize;
        HEAPU32[buf + 60 >> 2] = stats.bsize;
        tempI64 = [stats.blocks >>> 0, (tempDouble = stats.blocks, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 8 >> 2] = tempI64[0], HEAP32[buf + 12 >> 2] = tempI64[1];
        tempI64 = [stats.bfree >>> 0, (tempDouble = stats.bfree, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 16 >> 2] = tempI64[0], HEAP32[buf + 20 >> 2] = tempI64[1];
        tempI64 = [stats.bavail >>> 0, (tempDouble = stats.bavail, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 24 >> 2] = tempI64[0], HEAP32[buf + 28 >> 2] = tempI64[1];
        tempI64 = [stats.files >>> 0, (tempDouble = stats.files, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 32 >> 2] = tempI64[0], HEAP32[buf + 36 >> 2] = tempI64[1];
        tempI64 = [stats.ffree >>> 0, (tempDouble = stats.ffree, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[buf + 40 >> 2] = tempI64[0], HEAP32[buf + 44 >> 2] = tempI64[1];
        HEAPU32[buf + 48 >> 2] = stats.fsid;
        HEAPU32[buf + 64 >> 2] = stats.flags;
        HEAPU32[buf + 56 >> 2] = stats.namelen;
      },
      doMsync(addr, stream, len, flags, offset) {
        if (!FS.isFile(stream.node.mode)) {
          throw new FS.ErrnoError(43);
        }
        if (flags & 2) {
          return 0;
        }
        var buffer = HEAPU8.slice(addr, addr + len);
        FS.msync(stream, buffer, offset, len, flags);
      },
      getStreamFromFD(fd2) {
        var stream = FS.getStreamChecked(fd2);
        return stream;
      },
      varargs: void 0,
      getStr(ptr) {
        var ret = UTF8ToString(ptr);
        return ret;
      }
    };
    function ___syscall_dup(fd2) {
      try {
        var old = SYSCALLS.getStreamFromFD(fd2);
        return FS.dupStream(old).fd;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_faccessat(dirfd, path, amode, flags) {
      try {
        path = SYSCALLS.getStr(path);
        path = SYSCALLS.calculateAt(dirfd, path);
        if (amode & ~7) {
          return -28;
        }
        var lookup = FS.lookupPath(path, {
          follow: true
        });
        var node = lookup.node;
        if (!node) {
          return -44;
        }
        var perms = "";
        if (amode & 4) perms += "r";
        if (amode & 2) perms += "w";
        if (amode & 1) perms += "x";
        if (perms && FS.nodePermissions(node, perms)) {
          return -2;
        }
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    var syscallGetVarargI = () => {
      var ret = HEAP32[+SYSCALLS.varargs >> 2];
      SYSCALLS.varargs += 4;
      return ret;
    };
    var syscallGetVarargP = syscallGetVarargI;
    function ___syscall_fcntl64(fd2, cmd, varargs) {
      SYSCALLS.varargs = varargs;
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        switch (cmd) {
          case 0: {
            var arg = syscallGetVarargI();
            if (arg < 0) {
              return -28;
            }
            while (FS.streams[arg]) {
              arg++;
            }
            var newStream;
            newStream = FS.dupStream(stream, arg);
            return newStream.fd;
          }
          case 1:
          case 2:
            return 0;
          // FD_CLOEXEC makes no sense for a single process.
          case 3:
            return stream.flags;
          case 4: {
            var arg = syscallGetVarargI();
            var mask = 289792;
            stream.flags = stream.flags & ~mask | arg & mask;
            return 0;
          }
          case 12: {
            var arg = syscallGetVarargP();
            var offset = 0;
            HEAP16[arg + offset >> 1] = 2;
            return 0;
          }
          case 13:
          case 14:
            return 0;
        }
        return -28;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_fstat64(fd2, buf) {
      try {
        return SYSCALLS.writeStat(buf, FS.fstat(fd2));
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    var convertI32PairToI53Checked = (lo, hi) => hi + 2097152 >>> 0 < 4194305 - !!lo ? (lo >>> 0) + hi * 4294967296 : NaN;
    function ___syscall_ftruncate64(fd2, length_low, length_high) {
      var length = convertI32PairToI53Checked(length_low, length_high);
      try {
        if (isNaN(length)) return -22;
        FS.ftruncate(fd2, length);
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    var stringToUTF8 = (str, outPtr, maxBytesToWrite) => stringToUTF8Array(str, HEAPU8, outPtr, maxBytesToWrite);
    function ___syscall_getcwd(buf, size) {
      try {
        if (size === 0) return -28;
        var cwd = FS.cwd();
        var cwdLengthInBytes = lengthBytesUTF8(cwd) + 1;
        if (size < cwdLengthInBytes) return -68;
        stringToUTF8(cwd, buf, size);
        return cwdLengthInBytes;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_getdents64(fd2, dirp, count) {
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        stream.getdents ||= FS.readdir(stream.path);
        var struct_size = 280;
        var pos = 0;
        var off = FS.llseek(stream, 0, 1);
        var startIdx = Math.floor(off / struct_size);
        var endIdx = Math.min(stream.getdents.length, startIdx + Math.floor(count / struct_size));
        for (var idx = startIdx; idx < endIdx; idx++) {
          var id;
          var type;
          var name = stream.getdents[idx];
          if (name === ".") {
            id = stream.node.id;
            type = 4;
          } else if (name === "..") {
            var lookup = FS.lookupPath(stream.path, {
              parent: true
            });
            id = lookup.node.id;
            type = 4;
          } else {
            var child;
            try {
              child = FS.lookupNode(stream.node, name);
            } catch (e) {
              if (e?.errno === 28) {
                continue;
              }
              throw e;
            }
            id = child.id;
            type = FS.isChrdev(child.mode) ? 2 : (
              // character device.
              FS.isDir(child.mode) ? 4 : (
                // directory
                FS.isLink(child.mode) ? 10 : (
                  // symbolic link.
                  8
                )
              )
            );
          }
          tempI64 = [id >>> 0, (tempDouble = id, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[dirp + pos >> 2] = tempI64[0], HEAP32[dirp + pos + 4 >> 2] = tempI64[1];
          tempI64 = [(idx + 1) * struct_size >>> 0, (tempDouble = (idx + 1) * struct_size, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[dirp + pos + 8 >> 2] = tempI64[0], HEAP32[dirp + pos + 12 >> 2] = tempI64[1];
          HEAP16[dirp + pos + 16 >> 1] = 280;
          HEAP8[dirp + pos + 18] = type;
          stringToUTF8(name, dirp + pos + 19, 256);
          pos += struct_size;
        }
        FS.llseek(stream, idx * struct_size, 0);
        return pos;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_ioctl(fd2, op, varargs) {
      SYSCALLS.varargs = varargs;
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        switch (op) {
          case 21509: {
            if (!stream.tty) return -59;
            return 0;
          }
          case 21505: {
            if (!stream.tty) return -59;
            if (stream.tty.ops.ioctl_tcgets) {
              var termios = stream.tty.ops.ioctl_tcgets(stream);
              var argp = syscallGetVarargP();
              HEAP32[argp >> 2] = termios.c_iflag || 0;
              HEAP32[argp + 4 >> 2] = termios.c_oflag || 0;
              HEAP32[argp + 8 >> 2] = termios.c_cflag || 0;
              HEAP32[argp + 12 >> 2] = termios.c_lflag || 0;
              for (var i2 = 0; i2 < 32; i2++) {
                HEAP8[argp + i2 + 17] = termios.c_cc[i2] || 0;
              }
              return 0;
            }
            return 0;
          }
          case 21510:
          case 21511:
          case 21512: {
            if (!stream.tty) return -59;
            return 0;
          }
          case 21506:
          case 21507:
          case 21508: {
            if (!stream.tty) return -59;
            if (stream.tty.ops.ioctl_tcsets) {
              var argp = syscallGetVarargP();
              var c_iflag = HEAP32[argp >> 2];
              var c_oflag = HEAP32[argp + 4 >> 2];
              var c_cflag = HEAP32[argp + 8 >> 2];
              var c_lflag = HEAP32[argp + 12 >> 2];
              var c_cc = [];
              for (var i2 = 0; i2 < 32; i2++) {
                c_cc.push(HEAP8[argp + i2 + 17]);
              }
              return stream.tty.ops.ioctl_tcsets(stream.tty, op, {
                c_iflag,
                c_oflag,
                c_cflag,
                c_lflag,
                c_cc
              });
            }
            return 0;
          }
          case 21519: {
            if (!stream.tty) return -59;
            var argp = syscallGetVarargP();
            HEAP32[argp >> 2] = 0;
            return 0;
          }
          case 21520: {
            if (!stream.tty) return -59;
            return -28;
          }
          case 21537:
          case 21531: {
            var argp = syscallGetVarargP();
            return FS.ioctl(stream, op, argp);
          }
          case 21523: {
            if (!stream.tty) return -59;
            if (stream.tty.ops.ioctl_tiocgwinsz) {
              var winsize = stream.tty.ops.ioctl_tiocgwinsz(stream.tty);
              var argp = syscallGetVarargP();
              HEAP16[argp >> 1] = winsize[0];
              HEAP16[argp + 2 >> 1] = winsize[1];
            }
            return 0;
          }
          case 21524: {
            if (!stream.tty) return -59;
            return 0;
          }
          case 21515: {
            if (!stream.tty) return -59;
            return 0;
          }
          default:
            return -28;
        }
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_lstat64(path, buf) {
      try {
        path = SYSCALLS.getStr(path);
        return SYSCALLS.writeStat(buf, FS.lstat(path));
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_mkdirat(dirfd, path, mode) {
      try {
        path = SYSCALLS.getStr(path);
        path = SYSCALLS.calculateAt(dirfd, path);
        mode &= ~SYSCALLS.currentUmask;
        FS.mkdir(path, mode, 0);
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_newfstatat(dirfd, path, buf, flags) {
      try {
        path = SYSCALLS.getStr(path);
        var nofollow = flags & 256;
        var allowEmpty = flags & 4096;
        flags = flags & ~6400;
        path = SYSCALLS.calculateAt(dirfd, path, allowEmpty);
        return SYSCALLS.writeStat(buf, nofollow ? FS.lstat(path) : FS.stat(path));
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_openat(dirfd, path, flags, varargs) {
      SYSCALLS.varargs = varargs;
      try {
        path = SYSCALLS.getStr(path);
        path = SYSCALLS.calculateAt(dirfd, path);
        var mode = varargs ? syscallGetVarargI() : 0;
        if (flags & 64) {
          mode &= ~SYSCALLS.currentUmask;
        }
        return FS.open(path, flags, mode).fd;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_readlinkat(dirfd, path, buf, bufsize) {
      try {
        path = SYSCALLS.getStr(path);
        path = SYSCALLS.calculateAt(dirfd, path);
        if (bufsize <= 0) return -28;
        var ret = FS.readlink(path);
        var len = Math.min(bufsize, lengthBytesUTF8(ret));
        var endChar = HEAP8[buf + len];
        stringToUTF8(ret, buf, bufsize + 1);
        HEAP8[buf + len] = endChar;
        return len;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_rmdir(path) {
      try {
        path = SYSCALLS.getStr(path);
        FS.rmdir(path);
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_stat64(path, buf) {
      try {
        path = SYSCALLS.getStr(path);
        return SYSCALLS.writeStat(buf, FS.stat(path));
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function ___syscall_unlinkat(dirfd, path, flags) {
      try {
        path = SYSCALLS.getStr(path);
        path = SYSCALLS.calculateAt(dirfd, path);
        if (!flags) {
          FS.unlink(path);
        } else if (flags === 512) {
          FS.rmdir(path);
        } else {
          return -28;
        }
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    var readI53FromI64 = (ptr) => HEAPU32[ptr >> 2] + HEAP32[ptr + 4 >> 2] * 4294967296;
    function ___syscall_utimensat(dirfd, path, times, flags) {
      try {
        path = SYSCALLS.getStr(path);
        path = SYSCALLS.calculateAt(dirfd, path, true);
        var now = Date.now(), atime, mtime;
        if (!times) {
          atime = now;
          mtime = now;
        } else {
          var seconds = readI53FromI64(times);
          var nanoseconds = HEAP32[times + 8 >> 2];
          if (nanoseconds == 1073741823) {
            atime = now;
          } else if (nanoseconds == 1073741822) {
            atime = null;
          } else {
            atime = seconds * 1e3 + nanoseconds / (1e3 * 1e3);
          }
          times += 16;
          seconds = readI53FromI64(times);
          nanoseconds = HEAP32[times + 8 >> 2];
          if (nanoseconds == 1073741823) {
            mtime = now;
          } else if (nanoseconds == 1073741822) {
            mtime = null;
          } else {
            mtime = seconds * 1e3 + nanoseconds / (1e3 * 1e3);
          }
        }
        if ((mtime ?? atime) !== null) {
          FS.utime(path, atime, mtime);
        }
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    var __abort_js = () => abort("");
    var __embind_register_bigint = (primitiveType, name, size, minRange, maxRange) => {
    };
    var AsciiToString = (ptr) => {
      var str = "";
      while (1) {
        var ch = HEAPU8[ptr++];
        if (!ch) return str;
        str += String.fromCharCode(ch);
      }
    };
    var awaitingDependencies = {};
    var registeredTypes = {};
    var typeDependencies = {};
    var BindingError = class BindingError extends Error {
      constructor(message) {
        super(message);
        this.name = "BindingError";
      }
    };
    var throwBindingError = (message) => {
      throw new BindingError(message);
    };
    function sharedRegisterType(rawType, registeredInstance, options = {}) {
      var name = registeredInstance.name;
      if (!rawType) {
        throwBindingError(`type "${name}" must have a positive integer typeid pointer`);
      }
      if (registeredTypes.hasOwnProperty(rawType)) {
        if (options.ignoreDuplicateRegistrations) {
          return;
        } else {
          throwBindingError(`Cannot register type '${name}' twice`);
        }
      }
      registeredTypes[rawType] = registeredInstance;
      delete typeDependencies[rawType];
      if (awaitingDependencies.hasOwnProperty(rawType)) {
        var callbacks = awaitingDependencies[rawType];
        delete awaitingDependencies[rawType];
        callbacks.forEach((cb) => cb());
      }
    }
    function registerType(rawType, registeredInstance, options = {}) {
      return sharedRegisterType(rawType, registeredInstance, options);
    }
    var __embind_register_bool = (rawType, name, trueValue, falseValue) => {
      name = AsciiToString(name);
      registerType(rawType, {
        name,
        fromWireType: function(wt) {
          return !!wt;
        },
        toWireType: function(destructors, o) {
          return o ? trueValue : falseValue;
        },
        readValueFromPointer: function(pointer) {
          return this.fromWireType(HEAPU8[pointer]);
        },
        destructorFunction: null
      });
    };
    var shallowCopyInternalPointer = (o) => ({
      count: o.count,
      deleteScheduled: o.deleteScheduled,
      preservePointerOnDelete: o.preservePointerOnDelete,
      ptr: o.ptr,
      ptrType: o.ptrType,
      smartPtr: o.smartPtr,
      smartPtrType: o.smartPtrType
    });
    var throwInstanceAlreadyDeleted = (obj) => {
      function getInstanceTypeName(handle) {
        return handle.$$.ptrType.registeredClass.name;
      }
      throwBindingError(getInstanceTypeName(obj) + " instance already deleted");
    };
    var finalizationRegistry = false;
    var detachFinalizer = (handle) => {
    };
    var runDestructor = ($$) => {
      if ($$.smartPtr) {
        $$.smartPtrType.rawDestructor($$.smartPtr);
      } else {
        $$.ptrType.registeredClass.rawDestructor($$.ptr);
      }
    };
    var releaseClassHandle = ($$) => {
      $$.count.value -= 1;
      var toDelete = 0 === $$.count.value;
      if (toDelete) {
        runDestructor($$);
      }
    };
    var attachFinalizer = (handle) => {
      if (!globalThis.FinalizationRegistry) {
        attachFinalizer = (handle2) => handle2;
        return handle;
      }
      finalizationRegistry = new FinalizationRegistry((info) => {
        releaseClassHandle(info.$$);
      });
      attachFinalizer = (handle2) => {
        var $$ = handle2.$$;
        var hasSmartPtr = !!$$.smartPtr;
        if (hasSmartPtr) {
          var info = {
            $$
          };
          finalizationRegistry.register(handle2, info, handle2);
        }
        return handle2;
      };
      detachFinalizer = (handle2) => finalizationRegistry.unregister(handle2);
      return attachFinalizer(handle);
    };
    var deletionQueue = [];
    var flushPendingDeletes = () => {
      while (deletionQueue.length) {
        var obj = deletionQueue.pop();
        obj.$$.deleteScheduled = false;
        obj["delete"]();
      }
    };
    var delayFunction;
    var init_ClassHandle = () => {
      let proto = ClassHandle.prototype;
      Object.assign(proto, {
        "isAliasOf"(other) {
          if (!(this instanceof ClassHandle)) {
            return false;
          }
          if (!(other instanceof ClassHandle)) {
            return false;
          }
          var leftClass = this.$$.ptrType.registeredClass;
          var left = this.$$.ptr;
          other.$$ = /** @type {Object} */
          other.$$;
          var rightClass = other.$$.ptrType.registeredClass;
          var right = other.$$.ptr;
          while (leftClass.baseClass) {
            left = leftClass.upcast(left);
            leftClass = leftClass.baseClass;
          }
          while (rightClass.baseClass) {
            right = rightClass.upcast(right);
            rightClass = rightClass.baseClass;
          }
          return leftClass === rightClass && left === right;
        },
        "clone"() {
          if (!this.$$.ptr) {
            throwInstanceAlreadyDeleted(this);
          }
          if (this.$$.preservePointerOnDelete) {
            this.$$.count.value += 1;
            return this;
          } else {
            var clone = attachFinalizer(Object.create(Object.getPrototypeOf(this), {
              $$: {
                value: shallowCopyInternalPointer(this.$$)
              }
            }));
            clone.$$.count.value += 1;
            clone.$$.deleteScheduled = false;
            return clone;
          }
        },
        "delete"() {
          if (!this.$$.ptr) {
            throwInstanceAlreadyDeleted(this);
          }
          if (this.$$.deleteScheduled && !this.$$.preservePointerOnDelete) {
            throwBindingError("Object already scheduled for deletion");
          }
          detachFinalizer(this);
          releaseClassHandle(this.$$);
          if (!this.$$.preservePointerOnDelete) {
            this.$$.smartPtr = void 0;
            this.$$.ptr = void 0;
          }
        },
        "isDeleted"() {
          return !this.$$.ptr;
        },
        "deleteLater"() {
          if (!this.$$.ptr) {
            throwInstanceAlreadyDeleted(this);
          }
          if (this.$$.deleteScheduled && !this.$$.preservePointerOnDelete) {
            throwBindingError("Object already scheduled for deletion");
          }
          deletionQueue.push(this);
          if (deletionQueue.length === 1 && delayFunction) {
            delayFunction(flushPendingDeletes);
          }
          this.$$.deleteScheduled = true;
          return this;
        }
      });
      const symbolDispose = Symbol.dispose;
      if (symbolDispose) {
        proto[symbolDispose] = proto["delete"];
      }
    };
    function ClassHandle() {
    }
    var createNamedFunction = (name, func) => Object.defineProperty(func, "name", {
      value: name
    });
    var registeredPointers = {};
    var ensureOverloadTable = (proto, methodName, humanName) => {
      if (void 0 === proto[methodName].overloadTable) {
        var prevFunc = proto[methodName];
        proto[methodName] = function(...args) {
          if (!proto[methodName].overloadTable.hasOwnProperty(args.length)) {
            throwBindingError(`Function '${humanName}' called with an invalid number of arguments (${args.length}) - expects one of (${proto[methodName].overloadTable})!`);
          }
          return proto[methodName].overloadTable[args.length].apply(this, args);
        };
        proto[methodName].overloadTable = [];
        proto[methodName].overloadTable[prevFunc.argCount] = prevFunc;
      }
    };
    var exposePublicSymbol = (name, value, numArguments) => {
      if (Module.hasOwnProperty(name)) {
        if (void 0 === numArguments || void 0 !== Module[name].overloadTable && void 0 !== Module[name].overloadTable[numArguments]) {
          throwBindingError(`Cannot register public name '${name}' twice`);
        }
        ensureOverloadTable(Module, name, name);
        if (Module[name].overloadTable.hasOwnProperty(numArguments)) {
          throwBindingError(`Cannot register multiple overloads of a function with the same number of arguments (${numArguments})!`);
        }
        Module[name].overloadTable[numArguments] = value;
      } else {
        Module[name] = value;
        Module[name].argCount = numArguments;
      }
    };
    var char_0 = 48;
    var char_9 = 57;
    var makeLegalFunctionName = (name) => {
      name = name.replace(/[^a-zA-Z0-9_]/g, "$");
      var f = name.charCodeAt(0);
      if (f >= char_0 && f <= char_9) {
        return `_${name}`;
      }
      return name;
    };
    function RegisteredClass(name, constructor, instancePrototype, rawDestructor, baseClass, getActualType, upcast, downcast) {
      this.name = name;
      this.constructor = constructor;
      this.instancePrototype = instancePrototype;
      this.rawDestructor = rawDestructor;
      this.baseClass = baseClass;
      this.getActualType = getActualType;
      this.upcast = upcast;
      this.downcast = downcast;
      this.pureVirtualFunctions = [];
    }
    var upcastPointer = (ptr, ptrClass, desiredClass) => {
      while (ptrClass !== desiredClass) {
        if (!ptrClass.upcast) {
          throwBindingError(`Expected null or instance of ${desiredClass.name}, got an instance of ${ptrClass.name}`);
        }
        ptr = ptrClass.upcast(ptr);
        ptrClass = ptrClass.baseClass;
      }
      return ptr;
    };
    var embindRepr = (v) => {
      if (v === null) {
        return "null";
      }
      var t = typeof v;
      if (t === "object" || t === "array" || t === "function") {
        return v.toString();
      } else {
        return "" + v;
      }
    };
    function constNoSmartPtrRawPointerToWireType(destructors, handle) {
      if (handle === null) {
        if (this.isReference) {
          throwBindingError(`null is not a valid ${this.name}`);
        }
        return 0;
      }
      if (!handle.$$) {
        throwBindingError(`Cannot pass "${embindRepr(handle)}" as a ${this.name}`);
      }
      if (!handle.$$.ptr) {
        throwBindingError(`Cannot pass deleted object as a pointer of type ${this.name}`);
      }
      var handleClass = handle.$$.ptrType.registeredClass;
      var ptr = upcastPointer(handle.$$.ptr, handleClass, this.registeredClass);
      return ptr;
    }
    function genericPointerToWireType(destructors, handle) {
      var ptr;
      if (handle === null) {
        if (this.isReference) {
          throwBindingError(`null is not a valid ${this.name}`);
        }
        if (this.isSmartPointer) {
          ptr = this.rawConstructor();
          if (destructors !== null) {
            destructors.push(this.rawDestructor, ptr);
          }
          return ptr;
        } else {
          return 0;
        }
      }
      if (!handle || !handle.$$) {
        throwBindingError(`Cannot pass "${embindRepr(handle)}" as a ${this.name}`);
      }
      if (!handle.$$.ptr) {
        throwBindingError(`Cannot pass deleted object as a pointer of type ${this.name}`);
      }
      if (!this.isConst && handle.$$.ptrType.isConst) {
        throwBindingError(`Cannot convert argument of type ${handle.$$.smartPtrType ? handle.$$.smartPtrType.name : handle.$$.ptrType.name} to parameter type ${this.name}`);
      }
      var handleClass = handle.$$.ptrType.registeredClass;
      ptr = upcastPointer(handle.$$.ptr, handleClass, this.registeredClass);
      if (this.isSmartPointer) {
        if (void 0 === handle.$$.smartPtr) {
          throwBindingError("Passing raw pointer to smart pointer is illegal");
        }
        switch (this.sharingPolicy) {
          case 0:
            if (handle.$$.smartPtrType === this) {
              ptr = handle.$$.smartPtr;
            } else {
              throwBindingError(`Cannot convert argument of type ${handle.$$.smartPtrType ? handle.$$.smartPtrType.name : handle.$$.ptrType.name} to parameter type ${this.name}`);
            }
            break;
          case 1:
            ptr = handle.$$.smartPtr;
            break;
          case 2:
            if (handle.$$.smartPtrType === this) {
              ptr = handle.$$.smartPtr;
            } else {
              var clonedHandle = handle["clone"]();
              ptr = this.rawShare(ptr, Emval.toHandle(() => clonedHandle["delete"]()));
              if (destructors !== null) {
                destructors.push(this.rawDestructor, ptr);
              }
            }
            break;
          default:
            throwBindingError("Unsupported sharing policy");
        }
      }
      return ptr;
    }
    function nonConstNoSmartPtrRawPointerToWireType(destructors, handle) {
      if (handle === null) {
        if (this.isReference) {
          throwBindingError(`null is not a valid ${this.name}`);
        }
        return 0;
      }
      if (!handle.$$) {
        throwBindingError(`Cannot pass "${embindRepr(handle)}" as a ${this.name}`);
      }
      if (!handle.$$.ptr) {
        throwBindingError(`Cannot pass deleted object as a pointer of type ${this.name}`);
      }
      if (handle.$$.ptrType.isConst) {
        throwBindingError(`Cannot convert argument of type ${handle.$$.ptrType.name} to parameter type ${this.name}`);
      }
      var handleClass = handle.$$.ptrType.registeredClass;
      var ptr = upcastPointer(handle.$$.ptr, handleClass, this.registeredClass);
      return ptr;
    }
    function readPointer(pointer) {
      return this.fromWireType(HEAPU32[pointer >> 2]);
    }
    var downcastPointer = (ptr, ptrClass, desiredClass) => {
      if (ptrClass === desiredClass) {
        return ptr;
      }
      if (void 0 === desiredClass.baseClass) {
        return null;
      }
      var rv = downcastPointer(ptr, ptrClass, desiredClass.baseClass);
      if (rv === null) {
        return null;
      }
      return desiredClass.downcast(rv);
    };
    var registeredInstances = {};
    var getBasestPointer = (class_, ptr) => {
      if (ptr === void 0) {
        throwBindingError("ptr should not be undefined");
      }
      while (class_.baseClass) {
        ptr = class_.upcast(ptr);
        class_ = class_.baseClass;
      }
      return ptr;
    };
    var getInheritedInstance = (class_, ptr) => {
      ptr = getBasestPointer(class_, ptr);
      return registeredInstances[ptr];
    };
    var InternalError = class InternalError extends Error {
      constructor(message) {
        super(message);
        this.name = "InternalError";
      }
    };
    var throwInternalError = (message) => {
      throw new InternalError(message);
    };
    var makeClassHandle = (prototype, record) => {
      if (!record.ptrType || !record.ptr) {
        throwInternalError("makeClassHandle requires ptr and ptrType");
      }
      var hasSmartPtrType = !!record.smartPtrType;
      var hasSmartPtr = !!record.smartPtr;
      if (hasSmartPtrType !== hasSmartPtr) {
        throwInternalError("Both smartPtrType and smartPtr must be specified");
      }
      record.count = {
        value: 1
      };
      return attachFinalizer(Object.create(prototype, {
        $$: {
          value: record,
          writable: true
        }
      }));
    };
    function RegisteredPointer_fromWireType(ptr) {
      var rawPointer = this.getPointee(ptr);
      if (!rawPointer) {
        this.destructor(ptr);
        return null;
      }
      var registeredInstance = getInheritedInstance(this.registeredClass, rawPointer);
      if (void 0 !== registeredInstance) {
        if (0 === registeredInstance.$$.count.value) {
          registeredInstance.$$.ptr = rawPointer;
          registeredInstance.$$.smartPtr = ptr;
          return registeredInstance["clone"]();
        } else {
          var rv = registeredInstance["clone"]();
          this.destructor(ptr);
          return rv;
        }
      }
      function makeDefaultHandle() {
        if (this.isSmartPointer) {
          return makeClassHandle(this.registeredClass.instancePrototype, {
            ptrType: this.pointeeType,
            ptr: rawPointer,
            smartPtrType: this,
            smartPtr: ptr
          });
        } else {
          return makeClassHandle(this.registeredClass.instancePrototype, {
            ptrType: this,
            ptr
          });
        }
      }
      var actualType = this.registeredClass.getActualType(rawPointer);
      var registeredPointerRecord = registeredPointers[actualType];
      if (!registeredPointerRecord) {
        return makeDefaultHandle.call(this);
      }
      var toType;
      if (this.isConst) {
        toType = registeredPointerRecord.constPointerType;
      } else {
        toType = registeredPointerRecord.pointerType;
      }
      var dp = downcastPointer(rawPointer, this.registeredClass, toType.registeredClass);
      if (dp === null) {
        return makeDefaultHandle.call(this);
      }
      if (this.isSmartPointer) {
        return makeClassHandle(toType.registeredClass.instancePrototype, {
          ptrType: toType,
          ptr: dp,
          smartPtrType: this,
          smartPtr: ptr
        });
      } else {
        return makeClassHandle(toType.registeredClass.instancePrototype, {
          ptrType: toType,
          ptr: dp
        });
      }
    }
    var init_RegisteredPointer = () => {
      Object.assign(RegisteredPointer.prototype, {
        getPointee(ptr) {
          if (this.rawGetPointee) {
            ptr = this.rawGetPointee(ptr);
          }
          return ptr;
        },
        destructor(ptr) {
          this.rawDestructor?.(ptr);
        },
        readValueFromPointer: readPointer,
        fromWireType: RegisteredPointer_fromWireType
      });
    };
    function RegisteredPointer(name, registeredClass, isReference, isConst, isSmartPointer, pointeeType, sharingPolicy, rawGetPointee, rawConstructor, rawShare, rawDestructor) {
      this.name = name;
      this.registeredClass = registeredClass;
      this.isReference = isReference;
      this.isConst = isConst;
      this.isSmartPointer = isSmartPointer;
      this.pointeeType = pointeeType;
      this.sharingPolicy = sharingPolicy;
      this.rawGetPointee = rawGetPointee;
      this.rawConstructor = rawConstructor;
      this.rawShare = rawShare;
      this.rawDestructor = rawDestructor;
      if (!isSmartPointer && registeredClass.baseClass === void 0) {
        if (isConst) {
          this.toWireType = constNoSmartPtrRawPointerToWireType;
          this.destructorFunction = null;
        } else {
          this.toWireType = nonConstNoSmartPtrRawPointerToWireType;
          this.destructorFunction = null;
        }
      } else {
        this.toWireType = genericPointerToWireType;
      }
    }
    var replacePublicSymbol = (name, value, numArguments) => {
      if (!Module.hasOwnProperty(name)) {
        throwInternalError("Replacing nonexistent public symbol");
      }
      if (void 0 !== Module[name].overloadTable && void 0 !== numArguments) {
        Module[name].overloadTable[numArguments] = value;
      } else {
        Module[name] = value;
        Module[name].argCount = numArguments;
      }
    };
    var dynCalls = {};
    var dynCallLegacy = (sig, ptr, args) => {
      sig = sig.replace(/p/g, "i");
      var f = dynCalls[sig];
      return f(ptr, ...args);
    };
    var wasmTableMirror = [];
    var getWasmTableEntry = (funcPtr) => {
      var func = wasmTableMirror[funcPtr];
      if (!func) {
        wasmTableMirror[funcPtr] = func = wasmTable.get(funcPtr);
      }
      return func;
    };
    var dynCall = (sig, ptr, args = [], promising = false) => {
      if (sig.includes("j")) {
        return dynCallLegacy(sig, ptr, args);
      }
      var func = getWasmTableEntry(ptr);
      var rtn = func(...args);
      function convert(rtn2) {
        return rtn2;
      }
      return convert(rtn);
    };
    var getDynCaller = (sig, ptr, promising = false) => (...args) => dynCall(sig, ptr, args, promising);
    var embind__requireFunction = (signature, rawFunction, isAsync = false) => {
      signature = AsciiToString(signature);
      function makeDynCaller() {
        if (signature.includes("j")) {
          return getDynCaller(signature, rawFunction);
        }
        var rtn = getWasmTableEntry(rawFunction);
        return rtn;
      }
      var fp = makeDynCaller();
      if (typeof fp != "function") {
        throwBindingError(`unknown function pointer with signature ${signature}: ${rawFunction}`);
      }
      return fp;
    };
    class UnboundTypeError extends Error {
    }
    var getTypeName = (type) => {
      var ptr = ___getTypeName(type);
      var rv = AsciiToString(ptr);
      _free(ptr);
      return rv;
    };
    var throwUnboundTypeError = (message, types) => {
      var unboundTypes = [];
      var seen = {};
      function visit(type) {
        if (seen[type]) {
          return;
        }
        if (registeredTypes[type]) {
          return;
        }
        if (typeDependencies[type]) {
          typeDependencies[type].forEach(visit);
          return;
        }
        unboundTypes.push(type);
        seen[type] = true;
      }
      types.forEach(visit);
      throw new UnboundTypeError(`${message}: ` + unboundTypes.map(getTypeName).join([", "]));
    };
    var whenDependentTypesAreResolved = (myTypes, dependentTypes, getTypeConverters) => {
      myTypes.forEach((type) => typeDependencies[type] = dependentTypes);
      function onComplete(typeConverters2) {
        var myTypeConverters = getTypeConverters(typeConverters2);
        if (myTypeConverters.length !== myTypes.length) {
          throwInternalError("Mismatched type converter count");
        }
        for (var i2 = 0; i2 < myTypes.length; ++i2) {
          registerType(myTypes[i2], myTypeConverters[i2]);
        }
      }
      var typeConverters = new Array(dependentTypes.length);
      var unregisteredTypes = [];
      var registered = 0;
      for (let [i2, dt] of dependentTypes.entries()) {
        if (registeredTypes.hasOwnProperty(dt)) {
          typeConverters[i2] = registeredTypes[dt];
        } else {
          unregisteredTypes.push(dt);
          if (!awaitingDependencies.hasOwnProperty(dt)) {
            awaitingDependencies[dt] = [];
          }
          awaitingDependencies[dt].push(() => {
            typeConverters[i2] = registeredTypes[dt];
            ++registered;
            if (registered === unregisteredTypes.length) {
              onComplete(typeConverters);
            }
          });
        }
      }
      if (0 === unregisteredTypes.length) {
        onComplete(typeConverters);
      }
    };
    var __embind_register_class = (rawType, rawPointerType, rawConstPointerType, baseClassRawType, getActualTypeSignature, getActualType, upcastSignature, upcast, downcastSignature, downcast, name, destructorSignature, rawDestructor) => {
      name = AsciiToString(name);
      getActualType = embind__requireFunction(getActualTypeSignature, getActualType);
      upcast &&= embind__requireFunction(upcastSignature, upcast);
      downcast &&= embind__requireFunction(downcastSignature, downcast);
      rawDestructor = embind__requireFunction(destructorSignature, rawDestructor);
      var legalFunctionName = makeLegalFunctionName(name);
      exposePublicSymbol(legalFunctionName, function() {
        throwUnboundTypeError(`Cannot construct ${name} due to unbound types`, [baseClassRawType]);
      });
      whenDependentTypesAreResolved([rawType, rawPointerType, rawConstPointerType], baseClassRawType ? [baseClassRawType] : [], (base) => {
        base = base[0];
        var baseClass;
        var basePrototype;
        if (baseClassRawType) {
          baseClass = base.registeredClass;
          basePrototype = baseClass.instancePrototype;
        } else {
          basePrototype = ClassHandle.prototype;
        }
        var constructor = createNamedFunction(name, function(...args) {
          if (Object.getPrototypeOf(this) !== instancePrototype) {
            throw new BindingError(`Use 'new' to construct ${name}`);
          }
          if (void 0 === registeredClass.constructor_body) {
            throw new BindingError(`${name} has no accessible constructor`);
          }
          var body2 = registeredClass.constructor_body[args.length];
          if (void 0 === body2) {
            throw new BindingError(`Tried to invoke ctor of ${name} with invalid number of parameters (${args.length}) - expected (${Object.keys(registeredClass.constructor_body).toString()}) parameters instead!`);
          }
          return body2.apply(this, args);
        });
        var instancePrototype = Object.create(basePrototype, {
          constructor: {
            value: constructor
          }
        });
        constructor.prototype = instancePrototype;
        var registeredClass = new RegisteredClass(name, constructor, instancePrototype, rawDestructor, baseClass, getActualType, upcast, downcast);
        if (registeredClass.baseClass) {
          registeredClass.baseClass.__derivedClasses ??= [];
          registeredClass.baseClass.__derivedClasses.push(registeredClass);
        }
        var referenceConverter = new RegisteredPointer(name, registeredClass, true, false, false);
        var pointerConverter = new RegisteredPointer(name + "*", registeredClass, false, false, false);
        var constPointerConverter = new RegisteredPointer(name + " const*", registeredClass, false, true, false);
        registeredPointers[rawType] = {
          pointerType: pointerConverter,
          constPointerType: constPointerConverter
        };
        replacePublicSymbol(legalFunctionName, constructor);
        return [referenceConverter, pointerConverter, constPointerConverter];
      });
    };
    var runDestructors = (destructors) => {
      while (destructors.length) {
        var ptr = destructors.pop();
        var del = destructors.pop();
        del(ptr);
      }
    };
    function usesDestructorStack(argTypes) {
      for (var i2 = 1; i2 < argTypes.length; ++i2) {
        if (argTypes[i2] !== null && argTypes[i2].destructorFunction === void 0) {
          return true;
        }
      }
      return false;
    }
    function craftInvokerFunction(humanName, argTypes, classType, cppInvokerFunc, cppTargetFunc, isAsync) {
      var argCount = argTypes.length;
      if (argCount < 2) {
        throwBindingError("argTypes array size mismatch! Must at least get return value and 'this' types!");
      }
      var isClassMethodFunc = argTypes[1] !== null && classType !== null;
      var needsDestructorStack = usesDestructorStack(argTypes);
      var returns = !argTypes[0].isVoid;
      var expectedArgCount = argCount - 2;
      var argsWired = new Array(expectedArgCount);
      var invokerFuncArgs = [];
      var destructors = [];
      var invokerFn = function(...args) {
        destructors.length = 0;
        var thisWired;
        invokerFuncArgs.length = isClassMethodFunc ? 2 : 1;
        invokerFuncArgs[0] = cppTargetFunc;
        if (isClassMethodFunc) {
          thisWired = argTypes[1].toWireType(destructors, this);
          invokerFuncArgs[1] = thisWired;
        }
        for (var i2 = 0; i2 < expectedArgCount; ++i2) {
          argsWired[i2] = argTypes[i2 + 2].toWireType(destructors, args[i2]);
          invokerFuncArgs.push(argsWired[i2]);
        }
        var rv = cppInvokerFunc(...invokerFuncArgs);
        function onDone(rv2) {
          if (needsDestructorStack) {
            runDestructors(destructors);
          } else {
            for (var i3 = isClassMethodFunc ? 1 : 2; i3 < argTypes.length; i3++) {
              var param = i3 === 1 ? thisWired : argsWired[i3 - 2];
              if (argTypes[i3].destructorFunction !== null) {
                argTypes[i3].destructorFunction(param);
              }
            }
          }
          if (returns) {
            return argTypes[0].fromWireType(rv2);
          }
        }
        return onDone(rv);
      };
      return createNamedFunction(humanName, invokerFn);
    }
    var heap32VectorToArray = (count, firstElement) => {
      var array = [];
      for (var i2 = 0; i2 < count; i2++) {
        array.push(HEAPU32[firstElement + i2 * 4 >> 2]);
      }
      return array;
    };
    var getFunctionName = (signature) => {
      signature = signature.trim();
      const argsIndex = signature.indexOf("(");
      if (argsIndex === -1) return signature;
      return signature.slice(0, argsIndex);
    };
    var __embind_register_class_class_function = (rawClassType, methodName, argCount, rawArgTypesAddr, invokerSignature, rawInvoker, fn, isAsync, isNonnullReturn) => {
      var rawArgTypes = heap32VectorToArray(argCount, rawArgTypesAddr);
      methodName = AsciiToString(methodName);
      methodName = getFunctionName(methodName);
      rawInvoker = embind__requireFunction(invokerSignature, rawInvoker, isAsync);
      whenDependentTypesAreResolved([], [rawClassType], (classType) => {
        classType = classType[0];
        var humanName = `${classType.name}.${methodName}`;
        function unboundTypesHandler() {
          throwUnboundTypeError(`Cannot call ${humanName} due to unbound types`, rawArgTypes);
        }
        if (methodName.startsWith("@@")) {
          methodName = Symbol[methodName.substring(2)];
        }
        var proto = classType.registeredClass.constructor;
        if (void 0 === proto[methodName]) {
          unboundTypesHandler.argCount = argCount - 1;
          proto[methodName] = unboundTypesHandler;
        } else {
          ensureOverloadTable(proto, methodName, humanName);
          proto[methodName].overloadTable[argCount - 1] = unboundTypesHandler;
        }
        whenDependentTypesAreResolved([], rawArgTypes, (argTypes) => {
          var invokerArgsArray = [argTypes[0], null].concat(argTypes.slice(1));
          var func = craftInvokerFunction(humanName, invokerArgsArray, null, rawInvoker, fn, isAsync);
          if (void 0 === proto[methodName].overloadTable) {
            func.argCount = argCount - 1;
            proto[methodName] = func;
          } else {
            proto[methodName].overloadTable[argCount - 1] = func;
          }
          if (classType.registeredClass.__derivedClasses) {
            for (const derivedClass of classType.registeredClass.__derivedClasses) {
              if (!derivedClass.constructor.hasOwnProperty(methodName)) {
                derivedClass.constructor[methodName] = func;
              }
            }
          }
          return [];
        });
        return [];
      });
    };
    var __embind_register_class_constructor = (rawClassType, argCount, rawArgTypesAddr, invokerSignature, invoker, rawConstructor) => {
      var rawArgTypes = heap32VectorToArray(argCount, rawArgTypesAddr);
      invoker = embind__requireFunction(invokerSignature, invoker);
      whenDependentTypesAreResolved([], [rawClassType], (classType) => {
        classType = classType[0];
        var humanName = `constructor ${classType.name}`;
        if (void 0 === classType.registeredClass.constructor_body) {
          classType.registeredClass.constructor_body = [];
        }
        if (void 0 !== classType.registeredClass.constructor_body[argCount - 1]) {
          throw new BindingError(`Cannot register multiple constructors with identical number of parameters (${argCount - 1}) for class '${classType.name}'! Overload resolution is currently only performed using the parameter count, not actual type info!`);
        }
        classType.registeredClass.constructor_body[argCount - 1] = () => {
          throwUnboundTypeError(`Cannot construct ${classType.name} due to unbound types`, rawArgTypes);
        };
        whenDependentTypesAreResolved([], rawArgTypes, (argTypes) => {
          argTypes.splice(1, 0, null);
          classType.registeredClass.constructor_body[argCount - 1] = craftInvokerFunction(humanName, argTypes, null, invoker, rawConstructor);
          return [];
        });
        return [];
      });
    };
    var __embind_register_class_function = (rawClassType, methodName, argCount, rawArgTypesAddr, invokerSignature, rawInvoker, context, isPureVirtual, isAsync, isNonnullReturn) => {
      var rawArgTypes = heap32VectorToArray(argCount, rawArgTypesAddr);
      methodName = AsciiToString(methodName);
      methodName = getFunctionName(methodName);
      rawInvoker = embind__requireFunction(invokerSignature, rawInvoker, isAsync);
      whenDependentTypesAreResolved([], [rawClassType], (classType) => {
        classType = classType[0];
        var humanName = `${classType.name}.${methodName}`;
        if (methodName.startsWith("@@")) {
          methodName = Symbol[methodName.substring(2)];
        }
        if (isPureVirtual) {
          classType.registeredClass.pureVirtualFunctions.push(methodName);
        }
        function unboundTypesHandler() {
          throwUnboundTypeError(`Cannot call ${humanName} due to unbound types`, rawArgTypes);
        }
        var proto = classType.registeredClass.instancePrototype;
        var method = proto[methodName];
        if (void 0 === method || void 0 === method.overloadTable && method.className !== classType.name && method.argCount === argCount - 2) {
          unboundTypesHandler.argCount = argCount - 2;
          unboundTypesHandler.className = classType.name;
          proto[methodName] = unboundTypesHandler;
        } else {
          ensureOverloadTable(proto, methodName, humanName);
          proto[methodName].overloadTable[argCount - 2] = unboundTypesHandler;
        }
        whenDependentTypesAreResolved([], rawArgTypes, (argTypes) => {
          var memberFunction = craftInvokerFunction(humanName, argTypes, classType, rawInvoker, context, isAsync);
          if (void 0 === proto[methodName].overloadTable) {
            memberFunction.argCount = argCount - 2;
            proto[methodName] = memberFunction;
          } else {
            proto[methodName].overloadTable[argCount - 2] = memberFunction;
          }
          return [];
        });
        return [];
      });
    };
    var emval_freelist = [];
    var emval_handles = [0, 1, , 1, null, 1, true, 1, false, 1];
    var __emval_decref = (handle) => {
      if (handle > 9 && 0 === --emval_handles[handle + 1]) {
        var value = emval_handles[handle];
        emval_handles[handle] = void 0;
        emval_freelist.push(handle);
      }
    };
    var Emval = {
      toValue: (handle) => {
        if (!handle) {
          throwBindingError(`Cannot use deleted val. handle = ${handle}`);
        }
        return emval_handles[handle];
      },
      toHandle: (value) => {
        switch (value) {
          case void 0:
            return 2;
          case null:
            return 4;
          case true:
            return 6;
          case false:
            return 8;
          default: {
            const handle = emval_freelist.pop() || emval_handles.length;
            emval_handles[handle] = value;
            emval_handles[handle + 1] = 1;
            return handle;
          }
        }
      }
    };
    var EmValType = {
      name: "emscripten::val",
      fromWireType: (handle) => {
        var rv = Emval.toValue(handle);
        __emval_decref(handle);
        return rv;
      },
      toWireType: (destructors, value) => Emval.toHandle(value),
      readValueFromPointer: readPointer,
      destructorFunction: null
    };
    var __embind_register_emval = (rawType) => registerType(rawType, EmValType);
    var enumReadValueFromPointer = (name, width, signed) => {
      switch (width) {
        case 1:
          return signed ? function(pointer) {
            return this.fromWireType(HEAP8[pointer]);
          } : function(pointer) {
            return this.fromWireType(HEAPU8[pointer]);
          };
        case 2:
          return signed ? function(pointer) {
            return this.fromWireType(HEAP16[pointer >> 1]);
          } : function(pointer) {
            return this.fromWireType(HEAPU16[pointer >> 1]);
          };
        case 4:
          return signed ? function(pointer) {
            return this.fromWireType(HEAP32[pointer >> 2]);
          } : function(pointer) {
            return this.fromWireType(HEAPU32[pointer >> 2]);
          };
        default:
          throw new TypeError(`invalid integer width (${width}): ${name}`);
      }
    };
    function getEnumValueType(rawValueType) {
      return rawValueType === 0 ? "object" : rawValueType === 1 ? "number" : "string";
    }
    var __embind_register_enum = (rawType, name, size, isSigned, rawValueType) => {
      name = AsciiToString(name);
      const valueType = getEnumValueType(rawValueType);
      switch (valueType) {
        case "object": {
          let ctor = function() {
          };
          ctor.values = {};
          registerType(rawType, {
            name,
            constructor: ctor,
            valueType,
            fromWireType: function(c) {
              return this.constructor.values[c];
            },
            toWireType: (destructors, c) => c.value,
            readValueFromPointer: enumReadValueFromPointer(name, size, isSigned),
            destructorFunction: null
          });
          exposePublicSymbol(name, ctor);
          break;
        }
        case "number": {
          var keysMap = {};
          registerType(rawType, {
            name,
            keysMap,
            valueType,
            fromWireType: (c) => c,
            toWireType: (destructors, c) => c,
            readValueFromPointer: enumReadValueFromPointer(name, size, isSigned),
            destructorFunction: null
          });
          exposePublicSymbol(name, keysMap);
          delete Module[name].argCount;
          break;
        }
        case "string": {
          var valuesMap = {};
          var reverseMap = {};
          var keysMap = {};
          registerType(rawType, {
            name,
            valuesMap,
            reverseMap,
            keysMap,
            valueType,
            fromWireType: function(c) {
              return this.reverseMap[c];
            },
            toWireType: function(destructors, c) {
              return this.valuesMap[c];
            },
            readValueFromPointer: enumReadValueFromPointer(name, size, isSigned),
            destructorFunction: null
          });
          exposePublicSymbol(name, keysMap);
          delete Module[name].argCount;
          break;
        }
      }
    };
    var requireRegisteredType = (rawType, humanName) => {
      var impl = registeredTypes[rawType];
      if (void 0 === impl) {
        throwBindingError(`${humanName} has unknown type ${getTypeName(rawType)}`);
      }
      return impl;
    };
    var __embind_register_enum_value = (rawEnumType, name, enumValue) => {
      var enumType = requireRegisteredType(rawEnumType, "enum");
      name = AsciiToString(name);
      switch (enumType.valueType) {
        case "object": {
          var Enum = enumType.constructor;
          var Value = Object.create(enumType.constructor.prototype, {
            value: {
              value: enumValue
            },
            constructor: {
              value: createNamedFunction(`${enumType.name}_${name}`, function() {
              })
            }
          });
          Enum.values[enumValue] = Value;
          Enum[name] = Value;
          break;
        }
        case "number": {
          enumType.keysMap[name] = enumValue;
          break;
        }
        case "string": {
          enumType.valuesMap[name] = enumValue;
          enumType.reverseMap[enumValue] = name;
          enumType.keysMap[name] = name;
          break;
        }
      }
    };
    var floatReadValueFromPointer = (name, width) => {
      switch (width) {
        case 4:
          return function(pointer) {
            return this.fromWireType(HEAPF32[pointer >> 2]);
          };
        case 8:
          return function(pointer) {
            return this.fromWireType(HEAPF64[pointer >> 3]);
          };
        default:
          throw new TypeError(`invalid float width (${width}): ${name}`);
      }
    };
    var __embind_register_float = (rawType, name, size) => {
      name = AsciiToString(name);
      registerType(rawType, {
        name,
        fromWireType: (value) => value,
        toWireType: (destructors, value) => value,
        readValueFromPointer: floatReadValueFromPointer(name, size),
        destructorFunction: null
      });
    };
    var __embind_register_function = (name, argCount, rawArgTypesAddr, signature, rawInvoker, fn, isAsync, isNonnullReturn) => {
      var argTypes = heap32VectorToArray(argCount, rawArgTypesAddr);
      name = AsciiToString(name);
      name = getFunctionName(name);
      rawInvoker = embind__requireFunction(signature, rawInvoker, isAsync);
      exposePublicSymbol(name, function() {
        throwUnboundTypeError(`Cannot call ${name} due to unbound types`, argTypes);
      }, argCount - 1);
      whenDependentTypesAreResolved([], argTypes, (argTypes2) => {
        var invokerArgsArray = [argTypes2[0], null].concat(argTypes2.slice(1));
        replacePublicSymbol(name, craftInvokerFunction(name, invokerArgsArray, null, rawInvoker, fn, isAsync), argCount - 1);
        return [];
      });
    };
    var integerReadValueFromPointer = (name, width, signed) => {
      switch (width) {
        case 1:
          return signed ? (pointer) => HEAP8[pointer] : (pointer) => HEAPU8[pointer];
        case 2:
          return signed ? (pointer) => HEAP16[pointer >> 1] : (pointer) => HEAPU16[pointer >> 1];
        case 4:
          return signed ? (pointer) => HEAP32[pointer >> 2] : (pointer) => HEAPU32[pointer >> 2];
        default:
          throw new TypeError(`invalid integer width (${width}): ${name}`);
      }
    };
    var __embind_register_integer = (primitiveType, name, size, minRange, maxRange) => {
      name = AsciiToString(name);
      const isUnsignedType = minRange === 0;
      let fromWireType = (value) => value;
      if (isUnsignedType) {
        var bitshift = 32 - 8 * size;
        fromWireType = (value) => value << bitshift >>> bitshift;
        maxRange = fromWireType(maxRange);
      }
      registerType(primitiveType, {
        name,
        fromWireType,
        toWireType: (destructors, value) => value,
        readValueFromPointer: integerReadValueFromPointer(name, size, minRange !== 0),
        destructorFunction: null
      });
    };
    var installIndexedIterator = (proto, sizeMethodName, getMethodName) => {
      const makeIterator = (size, getValue) => {
        let index = 0;
        return {
          next() {
            if (index >= size) {
              return {
                done: true
              };
            }
            const current = index;
            index++;
            const value = getValue(current);
            return {
              value,
              done: false
            };
          },
          [Symbol.iterator]() {
            return this;
          }
        };
      };
      if (!proto[Symbol.iterator]) {
        proto[Symbol.iterator] = function() {
          const size = this[sizeMethodName]();
          return makeIterator(size, (i2) => this[getMethodName](i2));
        };
      }
    };
    var __embind_register_iterable = (rawClassType, rawElementType, sizeMethodName, getMethodName) => {
      sizeMethodName = AsciiToString(sizeMethodName);
      getMethodName = AsciiToString(getMethodName);
      whenDependentTypesAreResolved([], [rawClassType, rawElementType], (types) => {
        const classType = types[0];
        installIndexedIterator(classType.registeredClass.instancePrototype, sizeMethodName, getMethodName);
        return [];
      });
    };
    var __embind_register_memory_view = (rawType, dataTypeIndex, name) => {
      var typeMapping = [Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array];
      var TA = typeMapping[dataTypeIndex];
      function decodeMemoryView(handle) {
        var size = HEAPU32[handle >> 2];
        var data = HEAPU32[handle + 4 >> 2];
        return new TA(HEAP8.buffer, data, size);
      }
      name = AsciiToString(name);
      registerType(rawType, {
        name,
        fromWireType: decodeMemoryView,
        readValueFromPointer: decodeMemoryView
      }, {
        ignoreDuplicateRegistrations: true
      });
    };
    var EmValOptionalType = Object.assign({
      optional: true
    }, EmValType);
    var __embind_register_optional = (rawOptionalType, rawType) => {
      registerType(rawOptionalType, EmValOptionalType);
    };
    var __embind_register_std_string = (rawType, name) => {
      name = AsciiToString(name);
      var stdStringIsUTF8 = true;
      registerType(rawType, {
        name,
        // For some method names we use string keys here since they are part of
        // the public/external API and/or used by the runtime-generated code.
        fromWireType(value) {
          var length = HEAPU32[value >> 2];
          var payload = value + 4;
          var str;
          if (stdStringIsUTF8) {
            str = UTF8ToString(payload, length, true);
          } else {
            str = "";
            for (var i2 = 0; i2 < length; ++i2) {
              str += String.fromCharCode(HEAPU8[payload + i2]);
            }
          }
          _free(value);
          return str;
        },
        toWireType(destructors, value) {
          if (value instanceof ArrayBuffer) {
            value = new Uint8Array(value);
          }
          var length;
          var valueIsOfTypeString = typeof value == "string";
          if (!(valueIsOfTypeString || ArrayBuffer.isView(value) && value.BYTES_PER_ELEMENT == 1)) {
            throwBindingError("Cannot pass non-string to std::string");
          }
          if (stdStringIsUTF8 && valueIsOfTypeString) {
            length = lengthBytesUTF8(value);
          } else {
            length = value.length;
          }
          var base = _malloc(4 + length + 1);
          var ptr = base + 4;
          HEAPU32[base >> 2] = length;
          if (valueIsOfTypeString) {
            if (stdStringIsUTF8) {
              stringToUTF8(value, ptr, length + 1);
            } else {
              for (var i2 = 0; i2 < length; ++i2) {
                var charCode = value.charCodeAt(i2);
                if (charCode > 255) {
                  _free(base);
                  throwBindingError("String has UTF-16 code units that do not fit in 8 bits");
                }
                HEAPU8[ptr + i2] = charCode;
              }
            }
          } else {
            HEAPU8.set(value, ptr);
          }
          if (destructors !== null) {
            destructors.push(_free, base);
          }
          return base;
        },
        readValueFromPointer: readPointer,
        destructorFunction(ptr) {
          _free(ptr);
        }
      });
    };
    var UTF16Decoder = new TextDecoder("utf-16le");
    var UTF16ToString = (ptr, maxBytesToRead, ignoreNul) => {
      var idx = ptr >> 1;
      var endIdx = findStringEnd(HEAPU16, idx, maxBytesToRead / 2, ignoreNul);
      return UTF16Decoder.decode(HEAPU16.subarray(idx, endIdx));
    };
    var stringToUTF16 = (str, outPtr, maxBytesToWrite) => {
      maxBytesToWrite ??= 2147483647;
      if (maxBytesToWrite < 2) return 0;
      maxBytesToWrite -= 2;
      var startPtr = outPtr;
      var numCharsToWrite = maxBytesToWrite < str.length * 2 ? maxBytesToWrite / 2 : str.length;
      for (var i2 = 0; i2 < numCharsToWrite; ++i2) {
        var codeUnit = str.charCodeAt(i2);
        HEAP16[outPtr >> 1] = codeUnit;
        outPtr += 2;
      }
      HEAP16[outPtr >> 1] = 0;
      return outPtr - startPtr;
    };
    var lengthBytesUTF16 = (str) => str.length * 2;
    var UTF32ToString = (ptr, maxBytesToRead, ignoreNul) => {
      var str = "";
      var startIdx = ptr >> 2;
      for (var i2 = 0; !(i2 >= maxBytesToRead / 4); i2++) {
        var utf32 = HEAPU32[startIdx + i2];
        if (!utf32 && !ignoreNul) break;
        str += String.fromCodePoint(utf32);
      }
      return str;
    };
    var stringToUTF32 = (str, outPtr, maxBytesToWrite) => {
      maxBytesToWrite ??= 2147483647;
      if (maxBytesToWrite < 4) return 0;
      var startPtr = outPtr;
      var endPtr = startPtr + maxBytesToWrite - 4;
      for (var i2 = 0; i2 < str.length; ++i2) {
        var codePoint = str.codePointAt(i2);
        if (codePoint > 65535) {
          i2++;
        }
        HEAP32[outPtr >> 2] = codePoint;
        outPtr += 4;
        if (outPtr + 4 > endPtr) break;
      }
      HEAP32[outPtr >> 2] = 0;
      return outPtr - startPtr;
    };
    var lengthBytesUTF32 = (str) => {
      var len = 0;
      for (var i2 = 0; i2 < str.length; ++i2) {
        var codePoint = str.codePointAt(i2);
        if (codePoint > 65535) {
          i2++;
        }
        len += 4;
      }
      return len;
    };
    var __embind_register_std_wstring = (rawType, charSize, name) => {
      name = AsciiToString(name);
      var decodeString, encodeString, lengthBytesUTF;
      if (charSize === 2) {
        decodeString = UTF16ToString;
        encodeString = stringToUTF16;
        lengthBytesUTF = lengthBytesUTF16;
      } else {
        decodeString = UTF32ToString;
        encodeString = stringToUTF32;
        lengthBytesUTF = lengthBytesUTF32;
      }
      registerType(rawType, {
        name,
        fromWireType: (value) => {
          var length = HEAPU32[value >> 2];
          var str = decodeString(value + 4, length * charSize, true);
          _free(value);
          return str;
        },
        toWireType: (destructors, value) => {
          if (!(typeof value == "string")) {
            throwBindingError(`Cannot pass non-string to C++ string type ${name}`);
          }
          var length = lengthBytesUTF(value);
          var ptr = _malloc(4 + length + charSize);
          HEAPU32[ptr >> 2] = length / charSize;
          encodeString(value, ptr + 4, length + charSize);
          if (destructors !== null) {
            destructors.push(_free, ptr);
          }
          return ptr;
        },
        readValueFromPointer: readPointer,
        destructorFunction(ptr) {
          _free(ptr);
        }
      });
    };
    var __embind_register_void = (rawType, name) => {
      name = AsciiToString(name);
      registerType(rawType, {
        isVoid: true,
        // void return values can be optimized out sometimes
        name,
        fromWireType: () => void 0,
        // TODO: assert if anything else is given?
        toWireType: (destructors, o) => void 0
      });
    };
    var emval_methodCallers = [];
    var emval_addMethodCaller = (caller) => {
      var id = emval_methodCallers.length;
      emval_methodCallers.push(caller);
      return id;
    };
    var emval_lookupTypes = (argCount, argTypes) => {
      var a = new Array(argCount);
      for (var i2 = 0; i2 < argCount; ++i2) {
        a[i2] = requireRegisteredType(HEAPU32[argTypes + i2 * 4 >> 2], `parameter ${i2}`);
      }
      return a;
    };
    var emval_returnValue = (toReturnWire, destructorsRef, handle) => {
      var destructors = [];
      var result = toReturnWire(destructors, handle);
      if (destructors.length) {
        HEAPU32[destructorsRef >> 2] = Emval.toHandle(destructors);
      }
      return result;
    };
    var emval_symbols = {};
    var getStringOrSymbol = (address) => {
      var symbol = emval_symbols[address];
      if (symbol === void 0) {
        return AsciiToString(address);
      }
      return symbol;
    };
    var __emval_create_invoker = (argCount, argTypesPtr, kind) => {
      var GenericWireTypeSize = 8;
      var [retType, ...argTypes] = emval_lookupTypes(argCount, argTypesPtr);
      var toReturnWire = retType.toWireType.bind(retType);
      var argFromPtr = argTypes.map((type) => type.readValueFromPointer.bind(type));
      argCount--;
      var argN = new Array(argCount);
      var invokerFunction = (handle, methodName, destructorsRef, args) => {
        var offset = 0;
        for (var i2 = 0; i2 < argCount; ++i2) {
          argN[i2] = argFromPtr[i2](args + offset);
          offset += GenericWireTypeSize;
        }
        var rv;
        switch (kind) {
          case 0:
            rv = Emval.toValue(handle).apply(null, argN);
            break;
          case 2:
            rv = Reflect.construct(Emval.toValue(handle), argN);
            break;
          case 3:
            rv = argN[0];
            break;
          case 1:
            rv = Emval.toValue(handle)[getStringOrSymbol(methodName)](...argN);
            break;
        }
        return emval_returnValue(toReturnWire, destructorsRef, rv);
      };
      var functionName = `methodCaller<(${argTypes.map((t) => t.name)}) => ${retType.name}>`;
      return emval_addMethodCaller(createNamedFunction(functionName, invokerFunction));
    };
    var __emval_get_global = (name) => {
      if (!name) {
        return Emval.toHandle(globalThis);
      }
      name = getStringOrSymbol(name);
      return Emval.toHandle(globalThis[name]);
    };
    var __emval_get_module_property = (name) => {
      name = getStringOrSymbol(name);
      return Emval.toHandle(Module[name]);
    };
    var __emval_get_property = (handle, key) => {
      handle = Emval.toValue(handle);
      key = Emval.toValue(key);
      return Emval.toHandle(handle[key]);
    };
    var __emval_incref = (handle) => {
      if (handle > 9) {
        emval_handles[handle + 1] += 1;
      }
    };
    var __emval_instanceof = (object, constructor) => {
      object = Emval.toValue(object);
      constructor = Emval.toValue(constructor);
      return object instanceof constructor;
    };
    var __emval_invoke = (caller, handle, methodName, destructorsRef, args) => emval_methodCallers[caller](handle, methodName, destructorsRef, args);
    var __emval_new_array = () => Emval.toHandle([]);
    var __emval_new_cstring = (v) => Emval.toHandle(getStringOrSymbol(v));
    var __emval_run_destructors = (handle) => {
      var destructors = Emval.toValue(handle);
      runDestructors(destructors);
      __emval_decref(handle);
    };
    var __emval_typeof = (handle) => {
      handle = Emval.toValue(handle);
      return Emval.toHandle(typeof handle);
    };
    function __gmtime_js(time_low, time_high, tmPtr) {
      var time = convertI32PairToI53Checked(time_low, time_high);
      var date = new Date(time * 1e3);
      HEAP32[tmPtr >> 2] = date.getUTCSeconds();
      HEAP32[tmPtr + 4 >> 2] = date.getUTCMinutes();
      HEAP32[tmPtr + 8 >> 2] = date.getUTCHours();
      HEAP32[tmPtr + 12 >> 2] = date.getUTCDate();
      HEAP32[tmPtr + 16 >> 2] = date.getUTCMonth();
      HEAP32[tmPtr + 20 >> 2] = date.getUTCFullYear() - 1900;
      HEAP32[tmPtr + 24 >> 2] = date.getUTCDay();
      var start2 = Date.UTC(date.getUTCFullYear(), 0, 1, 0, 0, 0, 0);
      var yday = (date.getTime() - start2) / (1e3 * 60 * 60 * 24) | 0;
      HEAP32[tmPtr + 28 >> 2] = yday;
    }
    var isLeapYear = (year) => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
    var MONTH_DAYS_LEAP_CUMULATIVE = [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335];
    var MONTH_DAYS_REGULAR_CUMULATIVE = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    var ydayFromDate = (date) => {
      var leap = isLeapYear(date.getFullYear());
      var monthDaysCumulative = leap ? MONTH_DAYS_LEAP_CUMULATIVE : MONTH_DAYS_REGULAR_CUMULATIVE;
      var yday = monthDaysCumulative[date.getMonth()] + date.getDate() - 1;
      return yday;
    };
    function __localtime_js(time_low, time_high, tmPtr) {
      var time = convertI32PairToI53Checked(time_low, time_high);
      var date = new Date(time * 1e3);
      HEAP32[tmPtr >> 2] = date.getSeconds();
      HEAP32[tmPtr + 4 >> 2] = date.getMinutes();
      HEAP32[tmPtr + 8 >> 2] = date.getHours();
      HEAP32[tmPtr + 12 >> 2] = date.getDate();
      HEAP32[tmPtr + 16 >> 2] = date.getMonth();
      HEAP32[tmPtr + 20 >> 2] = date.getFullYear() - 1900;
      HEAP32[tmPtr + 24 >> 2] = date.getDay();
      var yday = ydayFromDate(date) | 0;
      HEAP32[tmPtr + 28 >> 2] = yday;
      HEAP32[tmPtr + 36 >> 2] = -(date.getTimezoneOffset() * 60);
      var start2 = new Date(date.getFullYear(), 0, 1);
      var summerOffset = new Date(date.getFullYear(), 6, 1).getTimezoneOffset();
      var winterOffset = start2.getTimezoneOffset();
      var dst = (summerOffset != winterOffset && date.getTimezoneOffset() == Math.min(winterOffset, summerOffset)) | 0;
      HEAP32[tmPtr + 32 >> 2] = dst;
    }
    var setTempRet0 = (val) => __emscripten_tempret_set(val);
    var __mktime_js = function(tmPtr) {
      var ret = (() => {
        var date = new Date(HEAP32[tmPtr + 20 >> 2] + 1900, HEAP32[tmPtr + 16 >> 2], HEAP32[tmPtr + 12 >> 2], HEAP32[tmPtr + 8 >> 2], HEAP32[tmPtr + 4 >> 2], HEAP32[tmPtr >> 2], 0);
        if (isNaN(date.getTime())) {
          return -1;
        }
        var dst = HEAP32[tmPtr + 32 >> 2];
        var guessedOffset = date.getTimezoneOffset();
        var start2 = new Date(date.getFullYear(), 0, 1);
        var summerOffset = new Date(date.getFullYear(), 6, 1).getTimezoneOffset();
        var winterOffset = start2.getTimezoneOffset();
        var dstOffset = Math.min(winterOffset, summerOffset);
        if (dst < 0) {
          HEAP32[tmPtr + 32 >> 2] = Number(summerOffset != winterOffset && dstOffset == guessedOffset);
        } else if (dst > 0 != (dstOffset == guessedOffset)) {
          var nonDstOffset = Math.max(winterOffset, summerOffset);
          var trueOffset = dst > 0 ? dstOffset : nonDstOffset;
          date.setTime(date.getTime() + (trueOffset - guessedOffset) * 6e4);
        }
        HEAP32[tmPtr + 24 >> 2] = date.getDay();
        var yday = ydayFromDate(date) | 0;
        HEAP32[tmPtr + 28 >> 2] = yday;
        HEAP32[tmPtr >> 2] = date.getSeconds();
        HEAP32[tmPtr + 4 >> 2] = date.getMinutes();
        HEAP32[tmPtr + 8 >> 2] = date.getHours();
        HEAP32[tmPtr + 12 >> 2] = date.getDate();
        HEAP32[tmPtr + 16 >> 2] = date.getMonth();
        HEAP32[tmPtr + 20 >> 2] = date.getYear();
        return date.getTime() / 1e3;
      })();
      return setTempRet0((tempDouble = ret, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)), ret >>> 0;
    };
    function __mmap_js(len, prot, flags, fd2, offset_low, offset_high, allocated, addr) {
      var offset = convertI32PairToI53Checked(offset_low, offset_high);
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        var res = FS.mmap(stream, len, offset, prot, flags);
        var ptr = res.ptr;
        HEAP32[allocated >> 2] = res.allocated;
        HEAPU32[addr >> 2] = ptr;
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    function __munmap_js(addr, len, prot, flags, fd2, offset_low, offset_high) {
      var offset = convertI32PairToI53Checked(offset_low, offset_high);
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        if (prot & 2) {
          SYSCALLS.doMsync(addr, stream, len, flags, offset);
        }
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return -e.errno;
      }
    }
    var __tzset_js = (timezone, daylight, std_name, dst_name) => {
      var currentYear = (/* @__PURE__ */ new Date()).getFullYear();
      var winter = new Date(currentYear, 0, 1);
      var summer = new Date(currentYear, 6, 1);
      var winterOffset = winter.getTimezoneOffset();
      var summerOffset = summer.getTimezoneOffset();
      var stdTimezoneOffset = Math.max(winterOffset, summerOffset);
      HEAPU32[timezone >> 2] = stdTimezoneOffset * 60;
      HEAP32[daylight >> 2] = Number(winterOffset != summerOffset);
      var extractZone = (timezoneOffset) => {
        var sign = timezoneOffset >= 0 ? "-" : "+";
        var absOffset = Math.abs(timezoneOffset);
        var hours = String(Math.floor(absOffset / 60)).padStart(2, "0");
        var minutes = String(absOffset % 60).padStart(2, "0");
        return `UTC${sign}${hours}${minutes}`;
      };
      var winterName = extractZone(winterOffset);
      var summerName = extractZone(summerOffset);
      if (summerOffset < winterOffset) {
        stringToUTF8(winterName, std_name, 17);
        stringToUTF8(summerName, dst_name, 17);
      } else {
        stringToUTF8(winterName, dst_name, 17);
        stringToUTF8(summerName, std_name, 17);
      }
    };
    var _emscripten_get_now = () => performance.now();
    var _emscripten_date_now = () => Date.now();
    var nowIsMonotonic = 1;
    var checkWasiClock = (clock_id) => clock_id >= 0 && clock_id <= 3;
    function _clock_time_get(clk_id, ignored_precision_low, ignored_precision_high, ptime) {
      var ignored_precision = convertI32PairToI53Checked(ignored_precision_low, ignored_precision_high);
      if (!checkWasiClock(clk_id)) {
        return 28;
      }
      var now;
      if (clk_id === 0) {
        now = _emscripten_date_now();
      } else if (nowIsMonotonic) {
        now = _emscripten_get_now();
      } else {
        return 52;
      }
      var nsec = Math.round(now * 1e3 * 1e3);
      tempI64 = [nsec >>> 0, (tempDouble = nsec, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[ptime >> 2] = tempI64[0], HEAP32[ptime + 4 >> 2] = tempI64[1];
      return 0;
    }
    var readEmAsmArgsArray = [];
    var readEmAsmArgs = (sigPtr, buf) => {
      readEmAsmArgsArray.length = 0;
      var ch;
      while (ch = HEAPU8[sigPtr++]) {
        var wide = ch != 105;
        wide &= ch != 112;
        buf += wide && buf % 8 ? 4 : 0;
        readEmAsmArgsArray.push(
          // Special case for pointers under wasm64 or CAN_ADDRESS_2GB mode.
          ch == 112 ? HEAPU32[buf >> 2] : ch == 105 ? HEAP32[buf >> 2] : HEAPF64[buf >> 3]
        );
        buf += wide ? 8 : 4;
      }
      return readEmAsmArgsArray;
    };
    var runEmAsmFunction = (code, sigPtr, argbuf) => {
      var args = readEmAsmArgs(sigPtr, argbuf);
      return ASM_CONSTS[code](...args);
    };
    var _emscripten_asm_const_int = (code, sigPtr, argbuf) => runEmAsmFunction(code, sigPtr, argbuf);
    var _emscripten_errn = (str, len) => err2(UTF8ToString(str, len));
    var getHeapMax = () => (
      // Stay one Wasm page short of 4GB: while e.g. Chrome is able to allocate
      // full 4GB Wasm memories, the size will wrap back to 0 bytes in Wasm side
      // for any code that deals with heap sizes, which would require special
      // casing all heap size related code to treat 0 specially.
      2147483648
    );
    var _emscripten_get_heap_max = () => getHeapMax();
    var _emscripten_has_asyncify = () => 0;
    var _emscripten_outn = (str, len) => out(UTF8ToString(str, len));
    var UNWIND_CACHE = {};
    var stringToNewUTF8 = (str) => {
      var size = lengthBytesUTF8(str) + 1;
      var ret = _malloc(size);
      if (ret) stringToUTF8(str, ret, size);
      return ret;
    };
    var convertFrameToPC = (frame) => {
      var match;
      if (match = /\bwasm-function\[\d+\]:(0x[0-9a-f]+)/.exec(frame)) {
        return +match[1];
      } else if (match = /:(\d+):\d+(?:\)|$)/.exec(frame)) {
        return 2147483648 | +match[1];
      }
      return 0;
    };
    var saveInUnwindCache = (callstack) => {
      for (var line of callstack) {
        var pc = convertFrameToPC(line);
        if (pc) {
          UNWIND_CACHE[pc] = line;
        }
      }
    };
    var jsStackTrace = () => new Error().stack.toString();
    var _emscripten_stack_snapshot = () => {
      var callstack = jsStackTrace().split("\n");
      if (callstack[0] == "Error") {
        callstack.shift();
      }
      saveInUnwindCache(callstack);
      UNWIND_CACHE.last_addr = convertFrameToPC(callstack[3]);
      UNWIND_CACHE.last_stack = callstack;
      return UNWIND_CACHE.last_addr;
    };
    var _emscripten_pc_get_function = (pc) => {
      var frame = UNWIND_CACHE[pc];
      if (!frame) return 0;
      var name;
      var match;
      if (match = /^\s+at .*\.wasm\.(.*) \(.*\)$/.exec(frame)) {
        name = match[1];
      } else if (match = /^\s+at (.*) \(.*\)$/.exec(frame)) {
        name = match[1];
      } else if (match = /^(.+?)@/.exec(frame)) {
        name = match[1];
      } else {
        return 0;
      }
      _free(_emscripten_pc_get_function.ret ?? 0);
      _emscripten_pc_get_function.ret = stringToNewUTF8(name);
      return _emscripten_pc_get_function.ret;
    };
    var growMemory = (size) => {
      var oldHeapSize = wasmMemory.buffer.byteLength;
      var pages = (size - oldHeapSize + 65535) / 65536 | 0;
      try {
        wasmMemory.grow(pages);
        updateMemoryViews();
        return 1;
      } catch (e) {
      }
    };
    var _emscripten_resize_heap = (requestedSize) => {
      var oldSize = HEAPU8.length;
      requestedSize >>>= 0;
      var maxHeapSize = getHeapMax();
      if (requestedSize > maxHeapSize) {
        return false;
      }
      for (var cutDown = 1; cutDown <= 4; cutDown *= 2) {
        var overGrownHeapSize = oldSize * (1 + 0.2 / cutDown);
        overGrownHeapSize = Math.min(overGrownHeapSize, requestedSize + 100663296);
        var newSize = Math.min(maxHeapSize, alignMemory(Math.max(requestedSize, overGrownHeapSize), 65536));
        var replacement = growMemory(newSize);
        if (replacement) {
          return true;
        }
      }
      return false;
    };
    var _emscripten_stack_unwind_buffer = (addr, buffer, count) => {
      var stack;
      if (UNWIND_CACHE.last_addr == addr) {
        stack = UNWIND_CACHE.last_stack;
      } else {
        stack = jsStackTrace().split("\n");
        if (stack[0] == "Error") {
          stack.shift();
        }
        saveInUnwindCache(stack);
      }
      var offset = 3;
      while (stack[offset] && convertFrameToPC(stack[offset]) != addr) {
        ++offset;
      }
      for (var i2 = 0; i2 < count && stack[i2 + offset]; ++i2) {
        HEAP32[buffer + i2 * 4 >> 2] = convertFrameToPC(stack[i2 + offset]);
      }
      return i2;
    };
    var stackAlloc = (sz) => __emscripten_stack_alloc(sz);
    var stringToUTF8OnStack = (str) => {
      var size = lengthBytesUTF8(str) + 1;
      var ret = stackAlloc(size);
      stringToUTF8(str, ret, size);
      return ret;
    };
    var writeI53ToI64 = (ptr, num) => {
      HEAPU32[ptr >> 2] = num;
      var lower = HEAPU32[ptr >> 2];
      HEAPU32[ptr + 4 >> 2] = (num - lower) / 4294967296;
    };
    var WebGPU = {
      Internals: {
        jsObjects: [],
        jsObjectInsert: (ptr, jsObject) => {
          ptr >>>= 0;
          WebGPU.Internals.jsObjects[ptr] = jsObject;
        },
        bufferOnUnmaps: [],
        futures: [],
        futureInsert: (futureId, promise) => {
        }
      },
      getJsObject: (ptr) => {
        if (!ptr) return void 0;
        ptr >>>= 0;
        return WebGPU.Internals.jsObjects[ptr];
      },
      importJsAdapter: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateAdapter(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsBindGroup: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateBindGroup(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsBindGroupLayout: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateBindGroupLayout(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsBuffer: (buffer, parentPtr = 0) => {
        assert(buffer.mapState === "unmapped");
        var bufferPtr = _emwgpuImportBuffer(parentPtr);
        WebGPU.Internals.jsObjectInsert(bufferPtr, buffer);
        return bufferPtr;
      },
      importJsCommandBuffer: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateCommandBuffer(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsCommandEncoder: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateCommandEncoder(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsComputePassEncoder: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateComputePassEncoder(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsComputePipeline: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateComputePipeline(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsDevice: (device, parentPtr = 0) => {
        var queuePtr = _emwgpuCreateQueue(parentPtr);
        var devicePtr = _emwgpuCreateDevice(parentPtr, queuePtr);
        WebGPU.Internals.jsObjectInsert(queuePtr, device.queue);
        WebGPU.Internals.jsObjectInsert(devicePtr, device);
        return devicePtr;
      },
      importJsExternalTexture: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateExternalTexture(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsPipelineLayout: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreatePipelineLayout(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsQuerySet: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateQuerySet(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsQueue: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateQueue(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsRenderBundle: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateRenderBundle(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsRenderBundleEncoder: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateRenderBundleEncoder(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsRenderPassEncoder: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateRenderPassEncoder(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsRenderPipeline: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateRenderPipeline(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsSampler: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateSampler(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsShaderModule: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateShaderModule(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsSurface: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateSurface(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsTexture: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateTexture(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      importJsTextureView: (obj, parentPtr = 0) => {
        var ptr = _emwgpuCreateTextureView(parentPtr);
        WebGPU.Internals.jsObjects[ptr] = obj;
        return ptr;
      },
      errorCallback: (callback, type, message, userdata) => {
        var sp = stackSave();
        var messagePtr = stringToUTF8OnStack(message);
        getWasmTableEntry(callback)(type, messagePtr, userdata);
        stackRestore(sp);
      },
      iterateExtensions: (root, handlers) => {
        for (var ptr = HEAPU32[root >> 2]; ptr; ptr = HEAPU32[ptr >> 2]) {
          var sType = HEAP32[ptr + 4 >> 2];
          var handler = handlers[sType](ptr);
        }
      },
      setStringView: (ptr, data, length) => {
        HEAPU32[ptr >> 2] = data;
        HEAPU32[ptr + 4 >> 2] = length;
      },
      makeStringFromStringView: (stringViewPtr) => {
        var ptr = HEAPU32[stringViewPtr >> 2];
        var length = HEAPU32[stringViewPtr + 4 >> 2];
        return UTF8ToString(ptr, length);
      },
      makeStringFromOptionalStringView: (stringViewPtr) => {
        var ptr = HEAPU32[stringViewPtr >> 2];
        var length = HEAPU32[stringViewPtr + 4 >> 2];
        if (!ptr) {
          if (length === 0) {
            return "";
          }
          return void 0;
        }
        return UTF8ToString(ptr, length);
      },
      makeColor: (ptr) => ({
        "r": HEAPF64[ptr >> 3],
        "g": HEAPF64[ptr + 8 >> 3],
        "b": HEAPF64[ptr + 16 >> 3],
        "a": HEAPF64[ptr + 24 >> 3]
      }),
      makeExtent3D: (ptr) => ({
        "width": HEAPU32[ptr >> 2],
        "height": HEAPU32[ptr + 4 >> 2],
        "depthOrArrayLayers": HEAPU32[ptr + 8 >> 2]
      }),
      makeOrigin3D: (ptr) => ({
        "x": HEAPU32[ptr >> 2],
        "y": HEAPU32[ptr + 4 >> 2],
        "z": HEAPU32[ptr + 8 >> 2]
      }),
      makeTexelCopyTextureInfo: (ptr) => ({
        "texture": WebGPU.getJsObject(HEAPU32[ptr >> 2]),
        "mipLevel": HEAPU32[ptr + 4 >> 2],
        "origin": WebGPU.makeOrigin3D(ptr + 8),
        "aspect": WebGPU.TextureAspect[HEAP32[ptr + 20 >> 2]]
      }),
      makeTexelCopyBufferLayout: (ptr) => {
        var bytesPerRow = HEAPU32[ptr + 8 >> 2];
        var rowsPerImage = HEAPU32[ptr + 12 >> 2];
        return {
          "offset": readI53FromI64(ptr),
          "bytesPerRow": bytesPerRow === 4294967295 ? void 0 : bytesPerRow,
          "rowsPerImage": rowsPerImage === 4294967295 ? void 0 : rowsPerImage
        };
      },
      makeTexelCopyBufferInfo: (ptr) => {
        var layoutPtr = ptr + 0;
        var bufferCopyView = WebGPU.makeTexelCopyBufferLayout(layoutPtr);
        bufferCopyView["buffer"] = WebGPU.getJsObject(HEAPU32[ptr + 16 >> 2]);
        return bufferCopyView;
      },
      makePassTimestampWrites: (ptr) => {
        if (ptr === 0) return void 0;
        return {
          "querySet": WebGPU.getJsObject(HEAPU32[ptr + 4 >> 2]),
          "beginningOfPassWriteIndex": HEAPU32[ptr + 8 >> 2],
          "endOfPassWriteIndex": HEAPU32[ptr + 12 >> 2]
        };
      },
      makePipelineConstants: (constantCount, constantsPtr) => {
        if (!constantCount) return;
        var constants = {};
        for (var i2 = 0; i2 < constantCount; ++i2) {
          var entryPtr = constantsPtr + 24 * i2;
          var key = WebGPU.makeStringFromStringView(entryPtr + 4);
          constants[key] = HEAPF64[entryPtr + 16 >> 3];
        }
        return constants;
      },
      makePipelineLayout: (layoutPtr) => {
        if (!layoutPtr) return "auto";
        return WebGPU.getJsObject(layoutPtr);
      },
      makeComputeState: (ptr) => {
        if (!ptr) return void 0;
        var desc = {
          "module": WebGPU.getJsObject(HEAPU32[ptr + 4 >> 2]),
          "constants": WebGPU.makePipelineConstants(HEAPU32[ptr + 16 >> 2], HEAPU32[ptr + 20 >> 2]),
          "entryPoint": WebGPU.makeStringFromOptionalStringView(ptr + 8)
        };
        return desc;
      },
      makeComputePipelineDesc: (descriptor) => {
        var desc = {
          "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
          "layout": WebGPU.makePipelineLayout(HEAPU32[descriptor + 12 >> 2]),
          "compute": WebGPU.makeComputeState(descriptor + 16)
        };
        return desc;
      },
      makeRenderPipelineDesc: (descriptor) => {
        function makePrimitiveState(psPtr) {
          if (!psPtr) return void 0;
          return {
            "topology": WebGPU.PrimitiveTopology[HEAP32[psPtr + 4 >> 2]],
            "stripIndexFormat": WebGPU.IndexFormat[HEAP32[psPtr + 8 >> 2]],
            "frontFace": WebGPU.FrontFace[HEAP32[psPtr + 12 >> 2]],
            "cullMode": WebGPU.CullMode[HEAP32[psPtr + 16 >> 2]],
            "unclippedDepth": !!HEAPU32[psPtr + 20 >> 2]
          };
        }
        function makeBlendComponent(bdPtr) {
          if (!bdPtr) return void 0;
          return {
            "operation": WebGPU.BlendOperation[HEAP32[bdPtr >> 2]],
            "srcFactor": WebGPU.BlendFactor[HEAP32[bdPtr + 4 >> 2]],
            "dstFactor": WebGPU.BlendFactor[HEAP32[bdPtr + 8 >> 2]]
          };
        }
        function makeBlendState(bsPtr) {
          if (!bsPtr) return void 0;
          return {
            "alpha": makeBlendComponent(bsPtr + 12),
            "color": makeBlendComponent(bsPtr + 0)
          };
        }
        function makeColorState(csPtr) {
          var format = WebGPU.TextureFormat[HEAP32[csPtr + 4 >> 2]];
          return format ? {
            "format": format,
            "blend": makeBlendState(HEAPU32[csPtr + 8 >> 2]),
            "writeMask": HEAPU32[csPtr + 16 >> 2]
          } : void 0;
        }
        function makeColorStates(count, csArrayPtr) {
          var states = [];
          for (var i2 = 0; i2 < count; ++i2) {
            states.push(makeColorState(csArrayPtr + 24 * i2));
          }
          return states;
        }
        function makeStencilStateFace(ssfPtr) {
          return {
            "compare": WebGPU.CompareFunction[HEAP32[ssfPtr >> 2]],
            "failOp": WebGPU.StencilOperation[HEAP32[ssfPtr + 4 >> 2]],
            "depthFailOp": WebGPU.StencilOperation[HEAP32[ssfPtr + 8 >> 2]],
            "passOp": WebGPU.StencilOperation[HEAP32[ssfPtr + 12 >> 2]]
          };
        }
        function makeDepthStencilState(dssPtr) {
          if (!dssPtr) return void 0;
          return {
            "format": WebGPU.TextureFormat[HEAP32[dssPtr + 4 >> 2]],
            "depthWriteEnabled": !!HEAPU32[dssPtr + 8 >> 2],
            "depthCompare": WebGPU.CompareFunction[HEAP32[dssPtr + 12 >> 2]],
            "stencilFront": makeStencilStateFace(dssPtr + 16),
            "stencilBack": makeStencilStateFace(dssPtr + 32),
            "stencilReadMask": HEAPU32[dssPtr + 48 >> 2],
            "stencilWriteMask": HEAPU32[dssPtr + 52 >> 2],
            "depthBias": HEAP32[dssPtr + 56 >> 2],
            "depthBiasSlopeScale": HEAPF32[dssPtr + 60 >> 2],
            "depthBiasClamp": HEAPF32[dssPtr + 64 >> 2]
          };
        }
        function makeVertexAttribute(vaPtr) {
          return {
            "format": WebGPU.VertexFormat[HEAP32[vaPtr + 4 >> 2]],
            "offset": readI53FromI64(vaPtr + 8),
            "shaderLocation": HEAPU32[vaPtr + 16 >> 2]
          };
        }
        function makeVertexAttributes(count, vaArrayPtr) {
          var vas = [];
          for (var i2 = 0; i2 < count; ++i2) {
            vas.push(makeVertexAttribute(vaArrayPtr + i2 * 24));
          }
          return vas;
        }
        function makeVertexBuffer(vbPtr) {
          if (!vbPtr) return void 0;
          var stepMode = WebGPU.VertexStepMode[HEAP32[vbPtr + 4 >> 2]];
          var attributeCount = HEAPU32[vbPtr + 16 >> 2];
          if (!stepMode && !attributeCount) {
            return null;
          }
          return {
            "arrayStride": readI53FromI64(vbPtr + 8),
            "stepMode": stepMode,
            "attributes": makeVertexAttributes(attributeCount, HEAPU32[vbPtr + 20 >> 2])
          };
        }
        function makeVertexBuffers(count, vbArrayPtr) {
          if (!count) return void 0;
          var vbs = [];
          for (var i2 = 0; i2 < count; ++i2) {
            vbs.push(makeVertexBuffer(vbArrayPtr + i2 * 24));
          }
          return vbs;
        }
        function makeVertexState(viPtr) {
          if (!viPtr) return void 0;
          var desc2 = {
            "module": WebGPU.getJsObject(HEAPU32[viPtr + 4 >> 2]),
            "constants": WebGPU.makePipelineConstants(HEAPU32[viPtr + 16 >> 2], HEAPU32[viPtr + 20 >> 2]),
            "buffers": makeVertexBuffers(HEAPU32[viPtr + 24 >> 2], HEAPU32[viPtr + 28 >> 2]),
            "entryPoint": WebGPU.makeStringFromOptionalStringView(viPtr + 8)
          };
          return desc2;
        }
        function makeMultisampleState(msPtr) {
          if (!msPtr) return void 0;
          return {
            "count": HEAPU32[msPtr + 4 >> 2],
            "mask": HEAPU32[msPtr + 8 >> 2],
            "alphaToCoverageEnabled": !!HEAPU32[msPtr + 12 >> 2]
          };
        }
        function makeFragmentState(fsPtr) {
          if (!fsPtr) return void 0;
          var desc2 = {
            "module": WebGPU.getJsObject(HEAPU32[fsPtr + 4 >> 2]),
            "constants": WebGPU.makePipelineConstants(HEAPU32[fsPtr + 16 >> 2], HEAPU32[fsPtr + 20 >> 2]),
            "targets": makeColorStates(HEAPU32[fsPtr + 24 >> 2], HEAPU32[fsPtr + 28 >> 2]),
            "entryPoint": WebGPU.makeStringFromOptionalStringView(fsPtr + 8)
          };
          return desc2;
        }
        var desc = {
          "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
          "layout": WebGPU.makePipelineLayout(HEAPU32[descriptor + 12 >> 2]),
          "vertex": makeVertexState(descriptor + 16),
          "primitive": makePrimitiveState(descriptor + 48),
          "depthStencil": makeDepthStencilState(HEAPU32[descriptor + 72 >> 2]),
          "multisample": makeMultisampleState(descriptor + 76),
          "fragment": makeFragmentState(HEAPU32[descriptor + 92 >> 2])
        };
        return desc;
      },
      fillLimitStruct: (limits, limitsOutPtr) => {
        var nextInChainPtr = HEAPU32[limitsOutPtr >> 2];
        function setLimitValueU32(name, basePtr, limitOffset, fallbackValue = 0) {
          var limitValue = limits[name] ?? fallbackValue;
          HEAPU32[basePtr + limitOffset >> 2] = limitValue;
        }
        function setLimitValueU64(name, basePtr, limitOffset, fallbackValue = 0) {
          var limitValue = limits[name] ?? fallbackValue;
          writeI53ToI64(basePtr + limitOffset, limitValue);
        }
        setLimitValueU32("maxTextureDimension1D", limitsOutPtr, 4);
        setLimitValueU32("maxTextureDimension2D", limitsOutPtr, 8);
        setLimitValueU32("maxTextureDimension3D", limitsOutPtr, 12);
        setLimitValueU32("maxTextureArrayLayers", limitsOutPtr, 16);
        setLimitValueU32("maxBindGroups", limitsOutPtr, 20);
        setLimitValueU32("maxBindGroupsPlusVertexBuffers", limitsOutPtr, 24);
        setLimitValueU32("maxBindingsPerBindGroup", limitsOutPtr, 28);
        setLimitValueU32("maxDynamicUniformBuffersPerPipelineLayout", limitsOutPtr, 32);
        setLimitValueU32("maxDynamicStorageBuffersPerPipelineLayout", limitsOutPtr, 36);
        setLimitValueU32("maxSampledTexturesPerShaderStage", limitsOutPtr, 40);
        setLimitValueU32("maxSamplersPerShaderStage", limitsOutPtr, 44);
        setLimitValueU32("maxStorageBuffersPerShaderStage", limitsOutPtr, 48);
        setLimitValueU32("maxStorageTexturesPerShaderStage", limitsOutPtr, 52);
        setLimitValueU32("maxUniformBuffersPerShaderStage", limitsOutPtr, 56);
        setLimitValueU32("minUniformBufferOffsetAlignment", limitsOutPtr, 80);
        setLimitValueU32("minStorageBufferOffsetAlignment", limitsOutPtr, 84);
        setLimitValueU64("maxUniformBufferBindingSize", limitsOutPtr, 64);
        setLimitValueU64("maxStorageBufferBindingSize", limitsOutPtr, 72);
        setLimitValueU32("maxVertexBuffers", limitsOutPtr, 88);
        setLimitValueU64("maxBufferSize", limitsOutPtr, 96);
        setLimitValueU32("maxVertexAttributes", limitsOutPtr, 104);
        setLimitValueU32("maxVertexBufferArrayStride", limitsOutPtr, 108);
        setLimitValueU32("maxInterStageShaderVariables", limitsOutPtr, 112);
        setLimitValueU32("maxColorAttachments", limitsOutPtr, 116);
        setLimitValueU32("maxColorAttachmentBytesPerSample", limitsOutPtr, 120);
        setLimitValueU32("maxComputeWorkgroupStorageSize", limitsOutPtr, 124);
        setLimitValueU32("maxComputeInvocationsPerWorkgroup", limitsOutPtr, 128);
        setLimitValueU32("maxComputeWorkgroupSizeX", limitsOutPtr, 132);
        setLimitValueU32("maxComputeWorkgroupSizeY", limitsOutPtr, 136);
        setLimitValueU32("maxComputeWorkgroupSizeZ", limitsOutPtr, 140);
        setLimitValueU32("maxComputeWorkgroupsPerDimension", limitsOutPtr, 144);
        setLimitValueU32("maxImmediateSize", limitsOutPtr, 148);
        if (nextInChainPtr !== 0) {
          var sType = HEAP32[nextInChainPtr + 4 >> 2];
          var compatibilityModeLimitsPtr = nextInChainPtr;
          setLimitValueU32("maxStorageBuffersInVertexStage", compatibilityModeLimitsPtr, 8, limits.maxStorageBuffersPerShaderStage);
          setLimitValueU32("maxStorageBuffersInFragmentStage", compatibilityModeLimitsPtr, 16, limits.maxStorageBuffersPerShaderStage);
          setLimitValueU32("maxStorageTexturesInVertexStage", compatibilityModeLimitsPtr, 12, limits.maxStorageTexturesPerShaderStage);
          setLimitValueU32("maxStorageTexturesInFragmentStage", compatibilityModeLimitsPtr, 20, limits.maxStorageTexturesPerShaderStage);
        }
      },
      fillAdapterInfoStruct: (info, infoStruct) => {
        HEAPU32[infoStruct + 52 >> 2] = info.subgroupMinSize;
        HEAPU32[infoStruct + 56 >> 2] = info.subgroupMaxSize;
        var strs = info.vendor + info.architecture + info.device + info.description;
        var strPtr = stringToNewUTF8(strs);
        var vendorLen = lengthBytesUTF8(info.vendor);
        WebGPU.setStringView(infoStruct + 4, strPtr, vendorLen);
        strPtr += vendorLen;
        var architectureLen = lengthBytesUTF8(info.architecture);
        WebGPU.setStringView(infoStruct + 12, strPtr, architectureLen);
        strPtr += architectureLen;
        var deviceLen = lengthBytesUTF8(info.device);
        WebGPU.setStringView(infoStruct + 20, strPtr, deviceLen);
        strPtr += deviceLen;
        var descriptionLen = lengthBytesUTF8(info.description);
        WebGPU.setStringView(infoStruct + 28, strPtr, descriptionLen);
        strPtr += descriptionLen;
        HEAP32[infoStruct + 36 >> 2] = 2;
        var adapterType = info.isFallbackAdapter ? 3 : 4;
        HEAP32[infoStruct + 40 >> 2] = adapterType;
        HEAPU32[infoStruct + 44 >> 2] = 0;
        HEAPU32[infoStruct + 48 >> 2] = 0;
      },
      AddressMode: [, "clamp-to-edge", "repeat", "mirror-repeat"],
      BlendFactor: [, "zero", "one", "src", "one-minus-src", "src-alpha", "one-minus-src-alpha", "dst", "one-minus-dst", "dst-alpha", "one-minus-dst-alpha", "src-alpha-saturated", "constant", "one-minus-constant", "src1", "one-minus-src1", "src1-alpha", "one-minus-src1-alpha"],
      BlendOperation: [, "add", "subtract", "reverse-subtract", "min", "max"],
      BufferBindingType: [, , "uniform", "storage", "read-only-storage"],
      BufferMapState: [, "unmapped", "pending", "mapped"],
      CompareFunction: [, "never", "less", "equal", "less-equal", "greater", "not-equal", "greater-equal", "always"],
      CompilationInfoRequestStatus: [, "success", "callback-cancelled"],
      ComponentSwizzle: [, "0", "1", "r", "g", "b", "a"],
      CompositeAlphaMode: [, "opaque", "premultiplied", "unpremultiplied", "inherit"],
      CullMode: [, "none", "front", "back"],
      ErrorFilter: [, "validation", "out-of-memory", "internal"],
      FeatureLevel: [, "compatibility", "core"],
      FeatureName: {
        1: "core-features-and-limits",
        2: "depth-clip-control",
        3: "depth32float-stencil8",
        4: "texture-compression-bc",
        5: "texture-compression-bc-sliced-3d",
        6: "texture-compression-etc2",
        7: "texture-compression-astc",
        8: "texture-compression-astc-sliced-3d",
        9: "timestamp-query",
        10: "indirect-first-instance",
        11: "shader-f16",
        12: "rg11b10ufloat-renderable",
        13: "bgra8unorm-storage",
        14: "float32-filterable",
        15: "float32-blendable",
        16: "clip-distances",
        17: "dual-source-blending",
        18: "subgroups",
        19: "texture-formats-tier1",
        20: "texture-formats-tier2",
        21: "primitive-index",
        22: "texture-component-swizzle",
        23: "subgroup-size-control",
        327692: "chromium-experimental-unorm16-texture-formats",
        327729: "chromium-experimental-multi-draw-indirect"
      },
      FilterMode: [, "nearest", "linear"],
      FrontFace: [, "ccw", "cw"],
      IndexFormat: [, "uint16", "uint32"],
      InstanceFeatureName: [, "timed-wait-any", "shader-source-spirv", "multiple-devices-per-adapter"],
      LoadOp: [, "load", "clear"],
      MipmapFilterMode: [, "nearest", "linear"],
      OptionalBool: ["false", "true"],
      PowerPreference: [, "low-power", "high-performance"],
      PredefinedColorSpace: [, "srgb", "display-p3"],
      PrimitiveTopology: [, "point-list", "line-list", "line-strip", "triangle-list", "triangle-strip"],
      QueryType: [, "occlusion", "timestamp"],
      SamplerBindingType: [, , "filtering", "non-filtering", "comparison"],
      Status: [, "success", "error"],
      StencilOperation: [, "keep", "zero", "replace", "invert", "increment-clamp", "decrement-clamp", "increment-wrap", "decrement-wrap"],
      StorageTextureAccess: [, , "write-only", "read-only", "read-write"],
      StoreOp: [, "store", "discard"],
      SurfaceGetCurrentTextureStatus: [, "success-optimal", "success-suboptimal", "timeout", "outdated", "lost", "error"],
      TextureAspect: [, "all", "stencil-only", "depth-only"],
      TextureDimension: [, "1d", "2d", "3d"],
      TextureFormat: [, "r8unorm", "r8snorm", "r8uint", "r8sint", "r16unorm", "r16snorm", "r16uint", "r16sint", "r16float", "rg8unorm", "rg8snorm", "rg8uint", "rg8sint", "r32float", "r32uint", "r32sint", "rg16unorm", "rg16snorm", "rg16uint", "rg16sint", "rg16float", "rgba8unorm", "rgba8unorm-srgb", "rgba8snorm", "rgba8uint", "rgba8sint", "bgra8unorm", "bgra8unorm-srgb", "rgb10a2uint", "rgb10a2unorm", "rg11b10ufloat", "rgb9e5ufloat", "rg32float", "rg32uint", "rg32sint", "rgba16unorm", "rgba16snorm", "rgba16uint", "rgba16sint", "rgba16float", "rgba32float", "rgba32uint", "rgba32sint", "stencil8", "depth16unorm", "depth24plus", "depth24plus-stencil8", "depth32float", "depth32float-stencil8", "bc1-rgba-unorm", "bc1-rgba-unorm-srgb", "bc2-rgba-unorm", "bc2-rgba-unorm-srgb", "bc3-rgba-unorm", "bc3-rgba-unorm-srgb", "bc4-r-unorm", "bc4-r-snorm", "bc5-rg-unorm", "bc5-rg-snorm", "bc6h-rgb-ufloat", "bc6h-rgb-float", "bc7-rgba-unorm", "bc7-rgba-unorm-srgb", "etc2-rgb8unorm", "etc2-rgb8unorm-srgb", "etc2-rgb8a1unorm", "etc2-rgb8a1unorm-srgb", "etc2-rgba8unorm", "etc2-rgba8unorm-srgb", "eac-r11unorm", "eac-r11snorm", "eac-rg11unorm", "eac-rg11snorm", "astc-4x4-unorm", "astc-4x4-unorm-srgb", "astc-5x4-unorm", "astc-5x4-unorm-srgb", "astc-5x5-unorm", "astc-5x5-unorm-srgb", "astc-6x5-unorm", "astc-6x5-unorm-srgb", "astc-6x6-unorm", "astc-6x6-unorm-srgb", "astc-8x5-unorm", "astc-8x5-unorm-srgb", "astc-8x6-unorm", "astc-8x6-unorm-srgb", "astc-8x8-unorm", "astc-8x8-unorm-srgb", "astc-10x5-unorm", "astc-10x5-unorm-srgb", "astc-10x6-unorm", "astc-10x6-unorm-srgb", "astc-10x8-unorm", "astc-10x8-unorm-srgb", "astc-10x10-unorm", "astc-10x10-unorm-srgb", "astc-12x10-unorm", "astc-12x10-unorm-srgb", "astc-12x12-unorm", "astc-12x12-unorm-srgb"],
      TextureSampleType: [, , "float", "unfilterable-float", "depth", "sint", "uint"],
      TextureViewDimension: [, "1d", "2d", "2d-array", "cube", "cube-array", "3d"],
      ToneMappingMode: [, "standard", "extended"],
      VertexFormat: [, "uint8", "uint8x2", "uint8x4", "sint8", "sint8x2", "sint8x4", "unorm8", "unorm8x2", "unorm8x4", "snorm8", "snorm8x2", "snorm8x4", "uint16", "uint16x2", "uint16x4", "sint16", "sint16x2", "sint16x4", "unorm16", "unorm16x2", "unorm16x4", "snorm16", "snorm16x2", "snorm16x4", "float16", "float16x2", "float16x4", "float32", "float32x2", "float32x3", "float32x4", "uint32", "uint32x2", "uint32x3", "uint32x4", "sint32", "sint32x2", "sint32x3", "sint32x4", "unorm10-10-10-2", "unorm8x4-bgra"],
      VertexStepMode: [, "vertex", "instance"],
      WGSLLanguageFeatureName: [, "readonly_and_readwrite_storage_textures", "packed_4x8_integer_dot_product", "unrestricted_pointer_parameters", "pointer_composite_access", "uniform_buffer_standard_layout", "subgroup_id", "texture_and_sampler_let", "subgroup_uniformity", "texture_formats_tier1", "linear_indexing", "immediate_address_space"]
    };
    var _emscripten_webgpu_get_device = () => {
      if (WebGPU.preinitializedDeviceId === void 0) {
        WebGPU.preinitializedDeviceId = WebGPU.importJsDevice(Module["preinitializedWebGPUDevice"]);
        _wgpuDeviceAddRef(WebGPU.preinitializedDeviceId);
      }
      _wgpuDeviceAddRef(WebGPU.preinitializedDeviceId);
      return WebGPU.preinitializedDeviceId;
    };
    var _emwgpuBufferDestroy = (bufferPtr) => {
      var buffer = WebGPU.getJsObject(bufferPtr);
      var onUnmap = WebGPU.Internals.bufferOnUnmaps[bufferPtr];
      if (onUnmap) {
        for (var i2 = 0; i2 < onUnmap.length; ++i2) {
          onUnmap[i2]();
        }
        delete WebGPU.Internals.bufferOnUnmaps[bufferPtr];
      }
      buffer.destroy();
    };
    var _emwgpuBufferGetMappedRange = (bufferPtr, offset, size) => {
      var buffer = WebGPU.getJsObject(bufferPtr);
      if (size == -1) size = void 0;
      var mapped;
      try {
        mapped = buffer.getMappedRange(offset, size);
      } catch (ex) {
        return 0;
      }
      var data = _memalign(16, mapped.byteLength);
      HEAPU8.fill(0, data, mapped.byteLength);
      WebGPU.Internals.bufferOnUnmaps[bufferPtr].push(() => {
        new Uint8Array(mapped).set(HEAPU8.subarray(data, data + mapped.byteLength));
        _free(data);
      });
      return data;
    };
    var _emwgpuBufferUnmap = (bufferPtr) => {
      var buffer = WebGPU.getJsObject(bufferPtr);
      var onUnmap = WebGPU.Internals.bufferOnUnmaps[bufferPtr];
      if (!onUnmap) {
        return;
      }
      for (var i2 = 0; i2 < onUnmap.length; ++i2) {
        onUnmap[i2]();
      }
      delete WebGPU.Internals.bufferOnUnmaps[bufferPtr];
      buffer.unmap();
    };
    var _emwgpuBufferWriteMappedRange = (bufferPtr, offset, data, size) => {
      var buffer = WebGPU.getJsObject(bufferPtr);
      var mapped;
      try {
        mapped = buffer.getMappedRange(offset, size);
      } catch (ex) {
        return 2;
      }
      new Uint8Array(mapped).set(HEAPU8.subarray(data, data + size));
      return 1;
    };
    var _emwgpuDelete = (ptr) => {
      delete WebGPU.Internals.jsObjects[ptr];
    };
    var _emwgpuDeviceCreateBuffer = (devicePtr, descriptor, bufferPtr) => {
      var mappedAtCreation = !!HEAPU32[descriptor + 32 >> 2];
      var desc = {
        "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
        "usage": HEAPU32[descriptor + 16 >> 2],
        "size": readI53FromI64(descriptor + 24),
        "mappedAtCreation": mappedAtCreation
      };
      var device = WebGPU.getJsObject(devicePtr);
      var buffer;
      try {
        buffer = device.createBuffer(desc);
      } catch (ex) {
        return false;
      }
      WebGPU.Internals.jsObjectInsert(bufferPtr, buffer);
      if (mappedAtCreation) {
        WebGPU.Internals.bufferOnUnmaps[bufferPtr] = [];
      }
      return true;
    };
    var _emwgpuDeviceCreateComputePipelineAsync = function(devicePtr, futureId_low, futureId_high, descriptor, pipelinePtr) {
      var futureId = convertI32PairToI53Checked(futureId_low, futureId_high);
      var desc = WebGPU.makeComputePipelineDesc(descriptor);
      var device = WebGPU.getJsObject(devicePtr);
      WebGPU.Internals.futureInsert(futureId, device.createComputePipelineAsync(desc).then((pipeline) => {
        callUserCallback(() => {
          WebGPU.Internals.jsObjectInsert(pipelinePtr, pipeline);
          _emwgpuOnCreateComputePipelineCompleted(futureId, 1, pipelinePtr, 0);
        });
      }, (pipelineError) => {
        callUserCallback(() => {
          var sp = stackSave();
          var messagePtr = stringToUTF8OnStack(pipelineError.message);
          var status = pipelineError.reason === "validation" ? 3 : pipelineError.reason === "internal" ? 4 : 0;
          _emwgpuOnCreateComputePipelineCompleted(futureId, status, pipelinePtr, messagePtr);
          stackRestore(sp);
        });
      }));
    };
    var _emwgpuDeviceCreateShaderModule = (devicePtr, descriptor, shaderModulePtr) => {
      var nextInChainPtr = HEAPU32[descriptor >> 2];
      var sType = HEAP32[nextInChainPtr + 4 >> 2];
      var desc = {
        "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
        "code": ""
      };
      switch (sType) {
        case 2: {
          desc["code"] = WebGPU.makeStringFromStringView(nextInChainPtr + 8);
          break;
        }
      }
      var device = WebGPU.getJsObject(devicePtr);
      WebGPU.Internals.jsObjectInsert(shaderModulePtr, device.createShaderModule(desc));
    };
    var _emwgpuDeviceDestroy = (devicePtr) => {
      const device = WebGPU.getJsObject(devicePtr);
      device.onuncapturederror = null;
      device.destroy();
    };
    var _emwgpuQueueOnSubmittedWorkDone = function(queuePtr, futureId_low, futureId_high) {
      var futureId = convertI32PairToI53Checked(futureId_low, futureId_high);
      var queue = WebGPU.getJsObject(queuePtr);
      WebGPU.Internals.futureInsert(futureId, queue.onSubmittedWorkDone().then(() => {
        callUserCallback(() => {
          _emwgpuOnWorkDoneCompleted(futureId, 1);
        });
      }));
    };
    var _emwgpuWaitAny = (futurePtr, futureCount, timeoutMSPtr) => {
      abort("TODO: Implement asyncify-free WaitAny for timeout=0");
    };
    var ENV = {};
    var getExecutableName = () => thisProgram;
    var getEnvStrings = () => {
      if (!getEnvStrings.strings) {
        var lang = (globalThis.navigator?.language ?? "C").replace("-", "_") + ".UTF-8";
        var env = {
          "USER": "web_user",
          "LOGNAME": "web_user",
          "PATH": "/",
          "PWD": "/",
          "HOME": "/home/web_user",
          "LANG": lang,
          "_": getExecutableName()
        };
        for (var x2 in ENV) {
          if (ENV[x2] === void 0) delete env[x2];
          else env[x2] = ENV[x2];
        }
        var strings = [];
        for (var x2 in env) {
          strings.push(`${x2}=${env[x2]}`);
        }
        getEnvStrings.strings = strings;
      }
      return getEnvStrings.strings;
    };
    var _environ_get = (__environ, environ_buf) => {
      var bufSize = 0;
      var envp = 0;
      for (var string of getEnvStrings()) {
        var ptr = environ_buf + bufSize;
        HEAPU32[__environ + envp >> 2] = ptr;
        bufSize += stringToUTF8(string, ptr, Infinity) + 1;
        envp += 4;
      }
      return 0;
    };
    var _environ_sizes_get = (penviron_count, penviron_buf_size) => {
      var strings = getEnvStrings();
      HEAPU32[penviron_count >> 2] = strings.length;
      var bufSize = 0;
      for (var string of strings) {
        bufSize += lengthBytesUTF8(string) + 1;
      }
      HEAPU32[penviron_buf_size >> 2] = bufSize;
      return 0;
    };
    function _fd_close(fd2) {
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        FS.close(stream);
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return e.errno;
      }
    }
    var doReadv = (stream, iov, iovcnt, offset) => {
      var ret = 0;
      for (var i2 = 0; i2 < iovcnt; i2++) {
        var ptr = HEAPU32[iov >> 2];
        var len = HEAPU32[iov + 4 >> 2];
        iov += 8;
        var curr = FS.read(stream, HEAP8, ptr, len, offset);
        if (curr < 0) return -1;
        ret += curr;
        if (curr < len) break;
        if (typeof offset != "undefined") {
          offset += curr;
        }
      }
      return ret;
    };
    function _fd_pread(fd2, iov, iovcnt, offset_low, offset_high, pnum) {
      var offset = convertI32PairToI53Checked(offset_low, offset_high);
      try {
        if (isNaN(offset)) return 22;
        var stream = SYSCALLS.getStreamFromFD(fd2);
        var num = doReadv(stream, iov, iovcnt, offset);
        HEAPU32[pnum >> 2] = num;
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return e.errno;
      }
    }
    function _fd_read(fd2, iov, iovcnt, pnum) {
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        var num = doReadv(stream, iov, iovcnt);
        HEAPU32[pnum >> 2] = num;
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return e.errno;
      }
    }
    function _fd_seek(fd2, offset_low, offset_high, whence, newOffset) {
      var offset = convertI32PairToI53Checked(offset_low, offset_high);
      try {
        if (isNaN(offset)) return 22;
        var stream = SYSCALLS.getStreamFromFD(fd2);
        FS.llseek(stream, offset, whence);
        tempI64 = [stream.position >>> 0, (tempDouble = stream.position, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)], HEAP32[newOffset >> 2] = tempI64[0], HEAP32[newOffset + 4 >> 2] = tempI64[1];
        if (stream.getdents && offset === 0 && whence === 0) stream.getdents = null;
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return e.errno;
      }
    }
    var doWritev = (stream, iov, iovcnt, offset) => {
      var ret = 0;
      for (var i2 = 0; i2 < iovcnt; i2++) {
        var ptr = HEAPU32[iov >> 2];
        var len = HEAPU32[iov + 4 >> 2];
        iov += 8;
        var curr = FS.write(stream, HEAP8, ptr, len, offset);
        if (curr < 0) return -1;
        ret += curr;
        if (curr < len) {
          break;
        }
        if (typeof offset != "undefined") {
          offset += curr;
        }
      }
      return ret;
    };
    function _fd_write(fd2, iov, iovcnt, pnum) {
      try {
        var stream = SYSCALLS.getStreamFromFD(fd2);
        var num = doWritev(stream, iov, iovcnt);
        HEAPU32[pnum >> 2] = num;
        return 0;
      } catch (e) {
        if (typeof FS == "undefined" || !(e.name === "ErrnoError")) throw e;
        return e.errno;
      }
    }
    var _random_get = (buffer, size) => randomFill(HEAPU8.subarray(buffer, buffer + size));
    var _wgpuBufferGetSize = function(bufferPtr) {
      var ret = (() => {
        var buffer = WebGPU.getJsObject(bufferPtr);
        return buffer.size;
      })();
      return setTempRet0((tempDouble = ret, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)), ret >>> 0;
    };
    var _wgpuBufferGetUsage = function(bufferPtr) {
      var ret = (() => {
        var buffer = WebGPU.getJsObject(bufferPtr);
        return buffer.usage;
      })();
      return setTempRet0((tempDouble = ret, +Math.abs(tempDouble) >= 1 ? tempDouble > 0 ? +Math.floor(tempDouble / 4294967296) >>> 0 : ~~+Math.ceil((tempDouble - +(~~tempDouble >>> 0)) / 4294967296) >>> 0 : 0)), ret >>> 0;
    };
    var _wgpuCommandEncoderBeginComputePass = (encoderPtr, descriptor) => {
      var desc;
      if (descriptor) {
        desc = {
          "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
          "timestampWrites": WebGPU.makePassTimestampWrites(HEAPU32[descriptor + 12 >> 2])
        };
      }
      var commandEncoder = WebGPU.getJsObject(encoderPtr);
      var ptr = _emwgpuCreateComputePassEncoder(0);
      WebGPU.Internals.jsObjectInsert(ptr, commandEncoder.beginComputePass(desc));
      return ptr;
    };
    function _wgpuCommandEncoderClearBuffer(encoderPtr, bufferPtr, offset_low, offset_high, size_low, size_high) {
      var offset = convertI32PairToI53Checked(offset_low, offset_high);
      var size = convertI32PairToI53Checked(size_low, size_high);
      var commandEncoder = WebGPU.getJsObject(encoderPtr);
      if (size == -1) size = void 0;
      var buffer = WebGPU.getJsObject(bufferPtr);
      commandEncoder.clearBuffer(buffer, offset, size);
    }
    function _wgpuCommandEncoderCopyBufferToBuffer(encoderPtr, srcPtr, srcOffset_low, srcOffset_high, dstPtr, dstOffset_low, dstOffset_high, size_low, size_high) {
      var srcOffset = convertI32PairToI53Checked(srcOffset_low, srcOffset_high);
      var dstOffset = convertI32PairToI53Checked(dstOffset_low, dstOffset_high);
      var size = convertI32PairToI53Checked(size_low, size_high);
      var commandEncoder = WebGPU.getJsObject(encoderPtr);
      var src = WebGPU.getJsObject(srcPtr);
      var dst = WebGPU.getJsObject(dstPtr);
      commandEncoder.copyBufferToBuffer(src, srcOffset, dst, dstOffset, size);
    }
    var _wgpuCommandEncoderCopyBufferToTexture = (encoderPtr, srcPtr, dstPtr, copySizePtr) => {
      var commandEncoder = WebGPU.getJsObject(encoderPtr);
      var copySize = WebGPU.makeExtent3D(copySizePtr);
      commandEncoder.copyBufferToTexture(WebGPU.makeTexelCopyBufferInfo(srcPtr), WebGPU.makeTexelCopyTextureInfo(dstPtr), copySize);
    };
    var _wgpuCommandEncoderCopyTextureToBuffer = (encoderPtr, srcPtr, dstPtr, copySizePtr) => {
      var commandEncoder = WebGPU.getJsObject(encoderPtr);
      var copySize = WebGPU.makeExtent3D(copySizePtr);
      commandEncoder.copyTextureToBuffer(WebGPU.makeTexelCopyTextureInfo(srcPtr), WebGPU.makeTexelCopyBufferInfo(dstPtr), copySize);
    };
    var _wgpuCommandEncoderFinish = (encoderPtr, descriptor) => {
      var commandEncoder = WebGPU.getJsObject(encoderPtr);
      var ptr = _emwgpuCreateCommandBuffer(0);
      WebGPU.Internals.jsObjectInsert(ptr, commandEncoder.finish());
      return ptr;
    };
    function _wgpuCommandEncoderResolveQuerySet(encoderPtr, querySetPtr, firstQuery, queryCount, destinationPtr, destinationOffset_low, destinationOffset_high) {
      var destinationOffset = convertI32PairToI53Checked(destinationOffset_low, destinationOffset_high);
      var commandEncoder = WebGPU.getJsObject(encoderPtr);
      var querySet = WebGPU.getJsObject(querySetPtr);
      var destination = WebGPU.getJsObject(destinationPtr);
      commandEncoder.resolveQuerySet(querySet, firstQuery, queryCount, destination, destinationOffset);
    }
    var _wgpuComputePassEncoderDispatchWorkgroups = (passPtr, x2, y, z) => {
      var pass = WebGPU.getJsObject(passPtr);
      pass.dispatchWorkgroups(x2, y, z);
    };
    var _wgpuComputePassEncoderEnd = (passPtr) => {
      var pass = WebGPU.getJsObject(passPtr);
      pass.end();
    };
    var _wgpuComputePassEncoderSetBindGroup = (passPtr, groupIndex, groupPtr, dynamicOffsetCount, dynamicOffsetsPtr) => {
      var pass = WebGPU.getJsObject(passPtr);
      var group = WebGPU.getJsObject(groupPtr);
      if (dynamicOffsetCount == 0) {
        pass.setBindGroup(groupIndex, group);
      } else {
        pass.setBindGroup(groupIndex, group, HEAPU32, dynamicOffsetsPtr >> 2, dynamicOffsetCount);
      }
    };
    var _wgpuComputePassEncoderSetPipeline = (passPtr, pipelinePtr) => {
      var pass = WebGPU.getJsObject(passPtr);
      var pipeline = WebGPU.getJsObject(pipelinePtr);
      pass.setPipeline(pipeline);
    };
    var _wgpuDeviceCreateBindGroup = (devicePtr, descriptor) => {
      function makeEntry(entryPtr) {
        var bufferPtr = HEAPU32[entryPtr + 8 >> 2];
        var samplerPtr = HEAPU32[entryPtr + 32 >> 2];
        var textureViewPtr = HEAPU32[entryPtr + 36 >> 2];
        var externalTexturePtr = 0;
        WebGPU.iterateExtensions(entryPtr, {
          14: (ptr2) => {
            externalTexturePtr = HEAPU32[ptr2 + 8 >> 2];
          }
        });
        var resource;
        if (bufferPtr) {
          var size = readI53FromI64(entryPtr + 24);
          if (size == -1) size = void 0;
          resource = {
            "buffer": WebGPU.getJsObject(bufferPtr),
            "offset": readI53FromI64(entryPtr + 16),
            "size": size
          };
        } else {
          resource = WebGPU.getJsObject(samplerPtr || textureViewPtr || externalTexturePtr);
        }
        return {
          "binding": HEAPU32[entryPtr + 4 >> 2],
          "resource": resource
        };
      }
      function makeEntries(count, entriesPtrs) {
        var entries = [];
        for (var i2 = 0; i2 < count; ++i2) {
          entries.push(makeEntry(entriesPtrs + 40 * i2));
        }
        return entries;
      }
      var desc = {
        "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
        "layout": WebGPU.getJsObject(HEAPU32[descriptor + 12 >> 2]),
        "entries": makeEntries(HEAPU32[descriptor + 16 >> 2], HEAPU32[descriptor + 20 >> 2])
      };
      var device = WebGPU.getJsObject(devicePtr);
      var ptr = _emwgpuCreateBindGroup(0);
      WebGPU.Internals.jsObjectInsert(ptr, device.createBindGroup(desc));
      return ptr;
    };
    var _wgpuDeviceCreateBindGroupLayout = (devicePtr, descriptor) => {
      function makeBufferEntry(substructPtr) {
        var typeInt = HEAPU32[substructPtr + 4 >> 2];
        if (!typeInt) return void 0;
        return {
          "type": WebGPU.BufferBindingType[typeInt],
          "hasDynamicOffset": !!HEAPU32[substructPtr + 8 >> 2],
          "minBindingSize": readI53FromI64(substructPtr + 16)
        };
      }
      function makeSamplerEntry(substructPtr) {
        var typeInt = HEAPU32[substructPtr + 4 >> 2];
        if (!typeInt) return void 0;
        return {
          "type": WebGPU.SamplerBindingType[typeInt]
        };
      }
      function makeTextureEntry(substructPtr) {
        var sampleTypeInt = HEAPU32[substructPtr + 4 >> 2];
        if (!sampleTypeInt) return void 0;
        return {
          "sampleType": WebGPU.TextureSampleType[sampleTypeInt],
          "viewDimension": WebGPU.TextureViewDimension[HEAP32[substructPtr + 8 >> 2]],
          "multisampled": !!HEAPU32[substructPtr + 12 >> 2]
        };
      }
      function makeStorageTextureEntry(substructPtr) {
        var accessInt = HEAPU32[substructPtr + 4 >> 2];
        if (!accessInt) return void 0;
        return {
          "access": WebGPU.StorageTextureAccess[accessInt],
          "format": WebGPU.TextureFormat[HEAP32[substructPtr + 8 >> 2]],
          "viewDimension": WebGPU.TextureViewDimension[HEAP32[substructPtr + 12 >> 2]]
        };
      }
      function makeEntry(entryPtr) {
        var entry = {
          "binding": HEAPU32[entryPtr + 4 >> 2],
          "visibility": HEAPU32[entryPtr + 8 >> 2],
          "buffer": makeBufferEntry(entryPtr + 24),
          "sampler": makeSamplerEntry(entryPtr + 48),
          "texture": makeTextureEntry(entryPtr + 56),
          "storageTexture": makeStorageTextureEntry(entryPtr + 72)
        };
        WebGPU.iterateExtensions(entryPtr, {
          13: (ptr2) => {
            entry["externalTexture"] = {};
          }
        });
        return entry;
      }
      function makeEntries(count, entriesPtrs) {
        var entries = [];
        for (var i2 = 0; i2 < count; ++i2) {
          entries.push(makeEntry(entriesPtrs + 88 * i2));
        }
        return entries;
      }
      var desc = {
        "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
        "entries": makeEntries(HEAPU32[descriptor + 12 >> 2], HEAPU32[descriptor + 16 >> 2])
      };
      var device = WebGPU.getJsObject(devicePtr);
      var ptr = _emwgpuCreateBindGroupLayout(0);
      WebGPU.Internals.jsObjectInsert(ptr, device.createBindGroupLayout(desc));
      return ptr;
    };
    var _wgpuDeviceCreateCommandEncoder = (devicePtr, descriptor) => {
      var desc;
      if (descriptor) {
        desc = {
          "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4)
        };
      }
      var device = WebGPU.getJsObject(devicePtr);
      var ptr = _emwgpuCreateCommandEncoder(0);
      WebGPU.Internals.jsObjectInsert(ptr, device.createCommandEncoder(desc));
      return ptr;
    };
    var _wgpuDeviceCreateComputePipeline = (devicePtr, descriptor) => {
      var desc = WebGPU.makeComputePipelineDesc(descriptor);
      var device = WebGPU.getJsObject(devicePtr);
      var ptr = _emwgpuCreateComputePipeline(0);
      WebGPU.Internals.jsObjectInsert(ptr, device.createComputePipeline(desc));
      return ptr;
    };
    var _wgpuDeviceCreatePipelineLayout = (devicePtr, descriptor) => {
      var bglCount = HEAPU32[descriptor + 12 >> 2];
      var bglPtr = HEAPU32[descriptor + 16 >> 2];
      var bgls = [];
      for (var i2 = 0; i2 < bglCount; ++i2) {
        bgls.push(WebGPU.getJsObject(HEAPU32[bglPtr + 4 * i2 >> 2]));
      }
      var desc = {
        "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
        "bindGroupLayouts": bgls,
        "immediateSize": HEAPU32[descriptor + 20 >> 2]
      };
      var device = WebGPU.getJsObject(devicePtr);
      var ptr = _emwgpuCreatePipelineLayout(0);
      WebGPU.Internals.jsObjectInsert(ptr, device.createPipelineLayout(desc));
      return ptr;
    };
    var _wgpuDeviceCreateQuerySet = (devicePtr, descriptor) => {
      var desc = {
        "type": WebGPU.QueryType[HEAP32[descriptor + 12 >> 2]],
        "count": HEAPU32[descriptor + 16 >> 2]
      };
      var device = WebGPU.getJsObject(devicePtr);
      var ptr = _emwgpuCreateQuerySet(0);
      WebGPU.Internals.jsObjectInsert(ptr, device.createQuerySet(desc));
      return ptr;
    };
    var _wgpuDeviceCreateTexture = (devicePtr, descriptor) => {
      var nextInChainPtr = HEAPU32[descriptor >> 2];
      var textureBindingViewDimension;
      if (nextInChainPtr !== 0) {
        var sType = HEAP32[nextInChainPtr + 4 >> 2];
        var textureBindingViewDimensionDescriptor = nextInChainPtr;
        textureBindingViewDimension = WebGPU.TextureViewDimension[HEAP32[textureBindingViewDimensionDescriptor + 8 >> 2]];
      }
      var desc = {
        "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
        "size": WebGPU.makeExtent3D(descriptor + 28),
        "mipLevelCount": HEAPU32[descriptor + 44 >> 2],
        "sampleCount": HEAPU32[descriptor + 48 >> 2],
        "dimension": WebGPU.TextureDimension[HEAP32[descriptor + 24 >> 2]],
        "format": WebGPU.TextureFormat[HEAP32[descriptor + 40 >> 2]],
        "usage": HEAPU32[descriptor + 16 >> 2],
        "textureBindingViewDimension": textureBindingViewDimension
      };
      var viewFormatCount = HEAPU32[descriptor + 52 >> 2];
      if (viewFormatCount) {
        var viewFormatsPtr = HEAPU32[descriptor + 56 >> 2];
        desc["viewFormats"] = Array.from(HEAP32.subarray(viewFormatsPtr >> 2, viewFormatsPtr + viewFormatCount * 4 >> 2), (format) => WebGPU.TextureFormat[format]);
      }
      var device = WebGPU.getJsObject(devicePtr);
      var ptr = _emwgpuCreateTexture(0);
      WebGPU.Internals.jsObjectInsert(ptr, device.createTexture(desc));
      return ptr;
    };
    var _wgpuDeviceGetAdapterInfo = (devicePtr, adapterInfo) => {
      var device = WebGPU.getJsObject(devicePtr);
      WebGPU.fillAdapterInfoStruct(device.adapterInfo, adapterInfo);
      return 1;
    };
    var _wgpuDeviceGetLimits = (devicePtr, limitsOutPtr) => {
      var device = WebGPU.getJsObject(devicePtr);
      WebGPU.fillLimitStruct(device.limits, limitsOutPtr);
      return 1;
    };
    var _wgpuDeviceHasFeature = (devicePtr, featureEnumValue) => {
      var device = WebGPU.getJsObject(devicePtr);
      return device.features.has(WebGPU.FeatureName[featureEnumValue]);
    };
    var _wgpuQueueSubmit = (queuePtr, commandCount, commands) => {
      var queue = WebGPU.getJsObject(queuePtr);
      var cmds = Array.from(HEAP32.subarray(commands >> 2, commands + commandCount * 4 >> 2), (id) => WebGPU.getJsObject(id));
      queue.submit(cmds);
    };
    function _wgpuQueueWriteBuffer(queuePtr, bufferPtr, bufferOffset_low, bufferOffset_high, data, size) {
      var bufferOffset = convertI32PairToI53Checked(bufferOffset_low, bufferOffset_high);
      var queue = WebGPU.getJsObject(queuePtr);
      var buffer = WebGPU.getJsObject(bufferPtr);
      var subarray = HEAPU8.subarray(data, data + size);
      queue.writeBuffer(buffer, bufferOffset, subarray, 0, size);
    }
    var _wgpuQueueWriteTexture = (queuePtr, destinationPtr, data, dataSize, dataLayoutPtr, writeSizePtr) => {
      var queue = WebGPU.getJsObject(queuePtr);
      var destination = WebGPU.makeTexelCopyTextureInfo(destinationPtr);
      var dataLayout = WebGPU.makeTexelCopyBufferLayout(dataLayoutPtr);
      var writeSize = WebGPU.makeExtent3D(writeSizePtr);
      var subarray = HEAPU8.subarray(data, data + dataSize);
      queue.writeTexture(destination, subarray, dataLayout, writeSize);
    };
    var _wgpuTextureCreateView = (texturePtr, descriptor) => {
      var desc;
      if (descriptor) {
        var swizzle;
        var nextInChainPtr = HEAPU32[descriptor >> 2];
        if (nextInChainPtr !== 0) {
          var sType = HEAP32[nextInChainPtr + 4 >> 2];
          var swizzleDescriptor = nextInChainPtr;
          var swizzlePtr = swizzleDescriptor + 8;
          var r = WebGPU.ComponentSwizzle[HEAP32[swizzlePtr >> 2]] || "r";
          var g = WebGPU.ComponentSwizzle[HEAP32[swizzlePtr + 4 >> 2]] || "g";
          var b = WebGPU.ComponentSwizzle[HEAP32[swizzlePtr + 8 >> 2]] || "b";
          var a = WebGPU.ComponentSwizzle[HEAP32[swizzlePtr + 12 >> 2]] || "a";
          swizzle = `${r}${g}${b}${a}`;
        }
        var mipLevelCount = HEAPU32[descriptor + 24 >> 2];
        var arrayLayerCount = HEAPU32[descriptor + 32 >> 2];
        desc = {
          "label": WebGPU.makeStringFromOptionalStringView(descriptor + 4),
          "format": WebGPU.TextureFormat[HEAP32[descriptor + 12 >> 2]],
          "dimension": WebGPU.TextureViewDimension[HEAP32[descriptor + 16 >> 2]],
          "baseMipLevel": HEAPU32[descriptor + 20 >> 2],
          "mipLevelCount": mipLevelCount === 4294967295 ? void 0 : mipLevelCount,
          "baseArrayLayer": HEAPU32[descriptor + 28 >> 2],
          "arrayLayerCount": arrayLayerCount === 4294967295 ? void 0 : arrayLayerCount,
          "aspect": WebGPU.TextureAspect[HEAP32[descriptor + 36 >> 2]],
          "usage": HEAPU32[descriptor + 40 >> 2],
          "swizzle": swizzle
        };
      }
      var texture = WebGPU.getJsObject(texturePtr);
      var ptr = _emwgpuCreateTextureView(0);
      WebGPU.Internals.jsObjectInsert(ptr, texture.createView(desc));
      return ptr;
    };
    var _wgpuTextureDestroy = (texturePtr) => {
      WebGPU.getJsObject(texturePtr).destroy();
    };
    var _wgpuTextureGetDepthOrArrayLayers = (texturePtr) => {
      var texture = WebGPU.getJsObject(texturePtr);
      return texture.depthOrArrayLayers;
    };
    var _wgpuTextureGetHeight = (texturePtr) => {
      var texture = WebGPU.getJsObject(texturePtr);
      return texture.height;
    };
    var _wgpuTextureGetWidth = (texturePtr) => {
      var texture = WebGPU.getJsObject(texturePtr);
      return texture.width;
    };
    var FS_createPath = (...args) => FS.createPath(...args);
    var FS_unlink = (...args) => FS.unlink(...args);
    var FS_createLazyFile = (...args) => FS.createLazyFile(...args);
    var FS_createDevice = (...args) => FS.createDevice(...args);
    FS.createPreloadedFile = FS_createPreloadedFile;
    FS.preloadFile = FS_preloadFile;
    FS.staticInit();
    init_ClassHandle();
    init_RegisteredPointer();
    {
      if (Module["preloadPlugins"]) preloadPlugins = Module["preloadPlugins"];
      if (Module["noExitRuntime"]) noExitRuntime = Module["noExitRuntime"];
      if (Module["print"]) out = Module["print"];
      if (Module["printErr"]) err2 = Module["printErr"];
      if (Module["wasmBinary"]) wasmBinary = Module["wasmBinary"];
      if (Module["arguments"]) programArgs = Module["arguments"];
      if (Module["thisProgram"]) thisProgram = Module["thisProgram"];
      if (Module["preInit"]) {
        if (typeof Module["preInit"] == "function") Module["preInit"] = [Module["preInit"]];
        while (Module["preInit"].length > 0) {
          Module["preInit"].shift()();
        }
      }
    }
    Module["addRunDependency"] = addRunDependency;
    Module["removeRunDependency"] = removeRunDependency;
    Module["FS_preloadFile"] = FS_preloadFile;
    Module["FS_unlink"] = FS_unlink;
    Module["FS_createPath"] = FS_createPath;
    Module["FS_createDevice"] = FS_createDevice;
    Module["FS_createDataFile"] = FS_createDataFile;
    Module["FS_createLazyFile"] = FS_createLazyFile;
    Module["WebGPU"] = WebGPU;
    var ASM_CONSTS = {
      686923: ($0) => {
        const device = WebGPU.getJsObject($0);
        return device.features.has("subgroups");
      }
    };
    function DefaultErrorReporter(message) {
      throw new Error(UTF8ToString(message));
    }
    function ThrowError(val_handle) {
      const error = Emval.toValue(val_handle);
      throw error;
    }
    function custom_emscripten_dbgn(str, len) {
      if (typeof dbg !== "undefined") {
        dbg(UTF8ToString(str, len));
      } else {
        if (typeof custom_dbg === "undefined") {
          let custom_dbg2 = function(text) {
            console.warn.apply(console, arguments);
          };
        }
        custom_dbg(UTF8ToString(str, len));
      }
    }
    function JsGetDeviceMinSubgroupSize(deviceId) {
      const device = WebGPU.getJsObject(deviceId);
      return device.adapterInfo.subgroupMinSize || device.limits.minSubgroupSize;
    }
    function JsGetDeviceMaxSubgroupSize(deviceId) {
      const device = WebGPU.getJsObject(deviceId);
      return device.adapterInfo.subgroupMaxSize || device.limits.maxSubgroupSize;
    }
    function __asyncjs__ReadBufferDataJs(buffer_handle, data_ptr) {
      return Asyncify.handleAsync(async () => {
        const gpuReadBuffer = WebGPU.getJsObject(buffer_handle);
        await gpuReadBuffer.mapAsync(GPUMapMode.READ);
        const arrayBuffer = gpuReadBuffer.getMappedRange();
        const u8view = new Uint8Array(arrayBuffer);
        HEAPU8.set(u8view, data_ptr >>> 0);
        gpuReadBuffer.unmap();
      });
    }
    function __asyncjs__CallStreamWeightsOnWeb(tfl_ids, wgpu_buffers, offsets, lengths, count) {
      return Asyncify.handleAsync(async () => {
        const callback = Module.getStreamWeightsCallback();
        if (typeof callback !== "function") {
          console.error("Stream weights callback is not registered or is not a function");
          return 1;
        }
        const tflIdsArray = new Int32Array(Module.HEAP32.buffer, tfl_ids, count);
        const wgpuBuffersArray = new Uint32Array(Module.HEAPU32.buffer, wgpu_buffers, count);
        const offsetsArray = new Float64Array(Module.HEAPF64.buffer, offsets, count);
        const lengthsArray = new Float64Array(Module.HEAPF64.buffer, lengths, count);
        try {
          await callback(new Int32Array(tflIdsArray), new Uint32Array(wgpuBuffersArray), new Float64Array(offsetsArray), new Float64Array(lengthsArray));
        } catch (e) {
          console.error("Error in streamWeightsOnWeb:", e);
          return 1;
        }
        return 0;
      });
    }
    var _malloc, _wgpuDeviceAddRef, _free, _emwgpuCreateBindGroup, _emwgpuCreateBindGroupLayout, _emwgpuCreateCommandBuffer, _emwgpuCreateCommandEncoder, _emwgpuCreateComputePassEncoder, _emwgpuCreateComputePipeline, _emwgpuCreateExternalTexture, _emwgpuCreatePipelineLayout, _emwgpuCreateQuerySet, _emwgpuCreateRenderBundle, _emwgpuCreateRenderBundleEncoder, _emwgpuCreateRenderPassEncoder, _emwgpuCreateRenderPipeline, _emwgpuCreateSampler, _emwgpuCreateSurface, _emwgpuCreateTexture, _emwgpuCreateTextureView, _emwgpuCreateAdapter, _emwgpuImportBuffer, _emwgpuCreateDevice, _emwgpuCreateQueue, _emwgpuCreateShaderModule, _emwgpuOnCreateComputePipelineCompleted, _emwgpuOnWorkDoneCompleted, ___getTypeName, _emscripten_builtin_memalign, _memalign, __emscripten_tempret_set, __emscripten_stack_restore, __emscripten_stack_alloc, _emscripten_stack_get_current, dynCall_ji, dynCall_vij, dynCall_viji, dynCall_iij, dynCall_iiiijj, dynCall_viijj, dynCall_viiijjj, dynCall_ijj, dynCall_jjj, dynCall_jiii, dynCall_iiiijij, dynCall_jii, dynCall_viijii, dynCall_vijjj, dynCall_vj, dynCall_viij, dynCall_jiji, dynCall_iiiiij, dynCall_iiiiijj, dynCall_iiiiiijj, memory, _kVersionStampBuildChangelistStr, _kVersionStampCitcSnapshotStr, _kVersionStampCitcWorkspaceIdStr, _kVersionStampSourceUriStr, _kVersionStampBuildClientStr, _kVersionStampBuildClientMintStatusStr, _kVersionStampBuildCompilerStr, _kVersionStampBuildDateTimePstStr, _kVersionStampBuildDepotPathStr, _kVersionStampBuildIdStr, _kVersionStampBuildInfoStr, _kVersionStampBuildLabelStr, _kVersionStampBuildTargetStr, _kVersionStampBuildTimestampStr, _kVersionStampBuildToolStr, _kVersionStampG3BuildTargetStr, _kVersionStampVerifiableStr, _kVersionStampBuildFdoTypeStr, _kVersionStampBuildBaselineChangelistStr, _kVersionStampBuildLtoTypeStr, _kVersionStampBuildPropellerTypeStr, _kVersionStampBuildPghoTypeStr, _kVersionStampBuildFdoProfileChangelistStr, _kVersionStampBuildMemprofProfileChangelistStr, _kVersionStampBuildUsernameStr, _kVersionStampBuildHostnameStr, _kVersionStampBuildDirectoryStr, _kVersionStampBuildChangelistInt, _kVersionStampCitcSnapshotInt, _kVersionStampBuildClientMintStatusInt, _kVersionStampBuildTimestampInt, _kVersionStampVerifiableInt, _kVersionStampBuildCoverageEnabledInt, _kVersionStampBuildBaselineChangelistInt, _kVersionStampPrecookedTimestampStr, _kVersionStampPrecookedClientInfoStr, __indirect_function_table, _kVersionStampBuildHasHardeningProtobuf, wasmMemory, wasmTable;
    function assignWasmExports(wasmExports2) {
      _malloc = Module["_malloc"] = wasmExports2["cc"];
      _wgpuDeviceAddRef = wasmExports2["dc"];
      _free = Module["_free"] = wasmExports2["ec"];
      _emwgpuCreateBindGroup = wasmExports2["fc"];
      _emwgpuCreateBindGroupLayout = wasmExports2["gc"];
      _emwgpuCreateCommandBuffer = wasmExports2["hc"];
      _emwgpuCreateCommandEncoder = wasmExports2["ic"];
      _emwgpuCreateComputePassEncoder = wasmExports2["jc"];
      _emwgpuCreateComputePipeline = wasmExports2["kc"];
      _emwgpuCreateExternalTexture = wasmExports2["lc"];
      _emwgpuCreatePipelineLayout = wasmExports2["mc"];
      _emwgpuCreateQuerySet = wasmExports2["nc"];
      _emwgpuCreateRenderBundle = wasmExports2["oc"];
      _emwgpuCreateRenderBundleEncoder = wasmExports2["pc"];
      _emwgpuCreateRenderPassEncoder = wasmExports2["qc"];
      _emwgpuCreateRenderPipeline = wasmExports2["rc"];
      _emwgpuCreateSampler = wasmExports2["sc"];
      _emwgpuCreateSurface = wasmExports2["tc"];
      _emwgpuCreateTexture = wasmExports2["uc"];
      _emwgpuCreateTextureView = wasmExports2["vc"];
      _emwgpuCreateAdapter = wasmExports2["wc"];
      _emwgpuImportBuffer = wasmExports2["xc"];
      _emwgpuCreateDevice = wasmExports2["yc"];
      _emwgpuCreateQueue = wasmExports2["zc"];
      _emwgpuCreateShaderModule = wasmExports2["Ac"];
      _emwgpuOnCreateComputePipelineCompleted = wasmExports2["Bc"];
      _emwgpuOnWorkDoneCompleted = wasmExports2["Cc"];
      ___getTypeName = wasmExports2["Ec"];
      _emscripten_builtin_memalign = wasmExports2["Fc"];
      _memalign = wasmExports2["Gc"];
      __emscripten_tempret_set = wasmExports2["Hc"];
      __emscripten_stack_restore = wasmExports2["Ic"];
      __emscripten_stack_alloc = wasmExports2["Jc"];
      _emscripten_stack_get_current = wasmExports2["Kc"];
      dynCall_ji = dynCalls["ji"] = wasmExports2["Lc"];
      dynCall_vij = dynCalls["vij"] = wasmExports2["Mc"];
      dynCall_viji = dynCalls["viji"] = wasmExports2["Nc"];
      dynCall_iij = dynCalls["iij"] = wasmExports2["Oc"];
      dynCall_iiiijj = dynCalls["iiiijj"] = wasmExports2["Pc"];
      dynCall_viijj = dynCalls["viijj"] = wasmExports2["Qc"];
      dynCall_viiijjj = dynCalls["viiijjj"] = wasmExports2["Rc"];
      dynCall_ijj = dynCalls["ijj"] = wasmExports2["Sc"];
      dynCall_jjj = dynCalls["jjj"] = wasmExports2["Tc"];
      dynCall_jiii = dynCalls["jiii"] = wasmExports2["Uc"];
      dynCall_iiiijij = dynCalls["iiiijij"] = wasmExports2["Vc"];
      dynCall_jii = dynCalls["jii"] = wasmExports2["Wc"];
      dynCall_viijii = dynCalls["viijii"] = wasmExports2["Xc"];
      dynCall_vijjj = dynCalls["vijjj"] = wasmExports2["Yc"];
      dynCall_vj = dynCalls["vj"] = wasmExports2["Zc"];
      dynCall_viij = dynCalls["viij"] = wasmExports2["_c"];
      dynCall_jiji = dynCalls["jiji"] = wasmExports2["$c"];
      dynCall_iiiiij = dynCalls["iiiiij"] = wasmExports2["ad"];
      dynCall_iiiiijj = dynCalls["iiiiijj"] = wasmExports2["bd"];
      dynCall_iiiiiijj = dynCalls["iiiiiijj"] = wasmExports2["cd"];
      memory = wasmMemory = wasmExports2["rb"];
      _kVersionStampBuildChangelistStr = Module["_kVersionStampBuildChangelistStr"] = wasmExports2["tb"].value;
      _kVersionStampCitcSnapshotStr = Module["_kVersionStampCitcSnapshotStr"] = wasmExports2["ub"].value;
      _kVersionStampCitcWorkspaceIdStr = Module["_kVersionStampCitcWorkspaceIdStr"] = wasmExports2["vb"].value;
      _kVersionStampSourceUriStr = Module["_kVersionStampSourceUriStr"] = wasmExports2["wb"].value;
      _kVersionStampBuildClientStr = Module["_kVersionStampBuildClientStr"] = wasmExports2["xb"].value;
      _kVersionStampBuildClientMintStatusStr = Module["_kVersionStampBuildClientMintStatusStr"] = wasmExports2["yb"].value;
      _kVersionStampBuildCompilerStr = Module["_kVersionStampBuildCompilerStr"] = wasmExports2["zb"].value;
      _kVersionStampBuildDateTimePstStr = Module["_kVersionStampBuildDateTimePstStr"] = wasmExports2["Ab"].value;
      _kVersionStampBuildDepotPathStr = Module["_kVersionStampBuildDepotPathStr"] = wasmExports2["Bb"].value;
      _kVersionStampBuildIdStr = Module["_kVersionStampBuildIdStr"] = wasmExports2["Cb"].value;
      _kVersionStampBuildInfoStr = Module["_kVersionStampBuildInfoStr"] = wasmExports2["Db"].value;
      _kVersionStampBuildLabelStr = Module["_kVersionStampBuildLabelStr"] = wasmExports2["Eb"].value;
      _kVersionStampBuildTargetStr = Module["_kVersionStampBuildTargetStr"] = wasmExports2["Fb"].value;
      _kVersionStampBuildTimestampStr = Module["_kVersionStampBuildTimestampStr"] = wasmExports2["Gb"].value;
      _kVersionStampBuildToolStr = Module["_kVersionStampBuildToolStr"] = wasmExports2["Hb"].value;
      _kVersionStampG3BuildTargetStr = Module["_kVersionStampG3BuildTargetStr"] = wasmExports2["Ib"].value;
      _kVersionStampVerifiableStr = Module["_kVersionStampVerifiableStr"] = wasmExports2["Jb"].value;
      _kVersionStampBuildFdoTypeStr = Module["_kVersionStampBuildFdoTypeStr"] = wasmExports2["Kb"].value;
      _kVersionStampBuildBaselineChangelistStr = Module["_kVersionStampBuildBaselineChangelistStr"] = wasmExports2["Lb"].value;
      _kVersionStampBuildLtoTypeStr = Module["_kVersionStampBuildLtoTypeStr"] = wasmExports2["Mb"].value;
      _kVersionStampBuildPropellerTypeStr = Module["_kVersionStampBuildPropellerTypeStr"] = wasmExports2["Nb"].value;
      _kVersionStampBuildPghoTypeStr = Module["_kVersionStampBuildPghoTypeStr"] = wasmExports2["Ob"].value;
      _kVersionStampBuildFdoProfileChangelistStr = Module["_kVersionStampBuildFdoProfileChangelistStr"] = wasmExports2["Pb"].value;
      _kVersionStampBuildMemprofProfileChangelistStr = Module["_kVersionStampBuildMemprofProfileChangelistStr"] = wasmExports2["Qb"].value;
      _kVersionStampBuildUsernameStr = Module["_kVersionStampBuildUsernameStr"] = wasmExports2["Rb"].value;
      _kVersionStampBuildHostnameStr = Module["_kVersionStampBuildHostnameStr"] = wasmExports2["Sb"].value;
      _kVersionStampBuildDirectoryStr = Module["_kVersionStampBuildDirectoryStr"] = wasmExports2["Tb"].value;
      _kVersionStampBuildChangelistInt = Module["_kVersionStampBuildChangelistInt"] = wasmExports2["Ub"].value;
      _kVersionStampCitcSnapshotInt = Module["_kVersionStampCitcSnapshotInt"] = wasmExports2["Vb"].value;
      _kVersionStampBuildClientMintStatusInt = Module["_kVersionStampBuildClientMintStatusInt"] = wasmExports2["Wb"].value;
      _kVersionStampBuildTimestampInt = Module["_kVersionStampBuildTimestampInt"] = wasmExports2["Xb"].value;
      _kVersionStampVerifiableInt = Module["_kVersionStampVerifiableInt"] = wasmExports2["Yb"].value;
      _kVersionStampBuildCoverageEnabledInt = Module["_kVersionStampBuildCoverageEnabledInt"] = wasmExports2["Zb"].value;
      _kVersionStampBuildBaselineChangelistInt = Module["_kVersionStampBuildBaselineChangelistInt"] = wasmExports2["_b"].value;
      _kVersionStampPrecookedTimestampStr = Module["_kVersionStampPrecookedTimestampStr"] = wasmExports2["$b"].value;
      _kVersionStampPrecookedClientInfoStr = Module["_kVersionStampPrecookedClientInfoStr"] = wasmExports2["ac"].value;
      __indirect_function_table = wasmTable = wasmExports2["bc"];
      _kVersionStampBuildHasHardeningProtobuf = Module["_kVersionStampBuildHasHardeningProtobuf"] = wasmExports2["Dc"].value;
    }
    var wasmImports = {
      /** @export */
      pb: DefaultErrorReporter,
      /** @export */
      ob: JsGetDeviceMaxSubgroupSize,
      /** @export */
      nb: JsGetDeviceMinSubgroupSize,
      /** @export */
      mb: ThrowError,
      /** @export */
      qb: __asyncjs__CallStreamWeightsOnWeb,
      /** @export */
      J: __asyncjs__ReadBufferDataJs,
      /** @export */
      lb: ___syscall_dup,
      /** @export */
      kb: ___syscall_faccessat,
      /** @export */
      n: ___syscall_fcntl64,
      /** @export */
      jb: ___syscall_fstat64,
      /** @export */
      va: ___syscall_ftruncate64,
      /** @export */
      ib: ___syscall_getcwd,
      /** @export */
      hb: ___syscall_getdents64,
      /** @export */
      gb: ___syscall_ioctl,
      /** @export */
      fb: ___syscall_lstat64,
      /** @export */
      eb: ___syscall_mkdirat,
      /** @export */
      db: ___syscall_newfstatat,
      /** @export */
      I: ___syscall_openat,
      /** @export */
      cb: ___syscall_readlinkat,
      /** @export */
      bb: ___syscall_rmdir,
      /** @export */
      ab: ___syscall_stat64,
      /** @export */
      Q: ___syscall_unlinkat,
      /** @export */
      $a: ___syscall_utimensat,
      /** @export */
      Wa: __abort_js,
      /** @export */
      ra: __embind_register_bigint,
      /** @export */
      Va: __embind_register_bool,
      /** @export */
      k: __embind_register_class,
      /** @export */
      u: __embind_register_class_class_function,
      /** @export */
      A: __embind_register_class_constructor,
      /** @export */
      a: __embind_register_class_function,
      /** @export */
      Ua: __embind_register_emval,
      /** @export */
      G: __embind_register_enum,
      /** @export */
      c: __embind_register_enum_value,
      /** @export */
      O: __embind_register_float,
      /** @export */
      m: __embind_register_function,
      /** @export */
      p: __embind_register_integer,
      /** @export */
      z: __embind_register_iterable,
      /** @export */
      d: __embind_register_memory_view,
      /** @export */
      y: __embind_register_optional,
      /** @export */
      Ta: __embind_register_std_string,
      /** @export */
      F: __embind_register_std_wstring,
      /** @export */
      Sa: __embind_register_void,
      /** @export */
      j: __emval_create_invoker,
      /** @export */
      b: __emval_decref,
      /** @export */
      Ra: __emval_get_global,
      /** @export */
      Qa: __emval_get_module_property,
      /** @export */
      s: __emval_get_property,
      /** @export */
      f: __emval_incref,
      /** @export */
      Pa: __emval_instanceof,
      /** @export */
      i: __emval_invoke,
      /** @export */
      Oa: __emval_new_array,
      /** @export */
      t: __emval_new_cstring,
      /** @export */
      h: __emval_run_destructors,
      /** @export */
      E: __emval_typeof,
      /** @export */
      qa: __gmtime_js,
      /** @export */
      pa: __localtime_js,
      /** @export */
      oa: __mktime_js,
      /** @export */
      na: __mmap_js,
      /** @export */
      ma: __munmap_js,
      /** @export */
      Na: __tzset_js,
      /** @export */
      ua: _clock_time_get,
      /** @export */
      Ma: custom_emscripten_dbgn,
      /** @export */
      La: _emscripten_asm_const_int,
      /** @export */
      D: _emscripten_errn,
      /** @export */
      Ka: _emscripten_get_heap_max,
      /** @export */
      g: _emscripten_get_now,
      /** @export */
      Ja: _emscripten_has_asyncify,
      /** @export */
      Ia: _emscripten_outn,
      /** @export */
      Ha: _emscripten_pc_get_function,
      /** @export */
      Ga: _emscripten_resize_heap,
      /** @export */
      N: _emscripten_stack_snapshot,
      /** @export */
      Fa: _emscripten_stack_unwind_buffer,
      /** @export */
      Ea: _emscripten_webgpu_get_device,
      /** @export */
      Da: _emwgpuBufferDestroy,
      /** @export */
      Ca: _emwgpuBufferGetMappedRange,
      /** @export */
      Ba: _emwgpuBufferUnmap,
      /** @export */
      Aa: _emwgpuBufferWriteMappedRange,
      /** @export */
      e: _emwgpuDelete,
      /** @export */
      za: _emwgpuDeviceCreateBuffer,
      /** @export */
      la: _emwgpuDeviceCreateComputePipelineAsync,
      /** @export */
      ya: _emwgpuDeviceCreateShaderModule,
      /** @export */
      xa: _emwgpuDeviceDestroy,
      /** @export */
      ka: _emwgpuQueueOnSubmittedWorkDone,
      /** @export */
      wa: _emwgpuWaitAny,
      /** @export */
      _a: _environ_get,
      /** @export */
      Za: _environ_sizes_get,
      /** @export */
      M: _exit,
      /** @export */
      v: _fd_close,
      /** @export */
      ta: _fd_pread,
      /** @export */
      P: _fd_read,
      /** @export */
      sa: _fd_seek,
      /** @export */
      H: _fd_write,
      /** @export */
      Ya: _proc_exit,
      /** @export */
      Xa: _random_get,
      /** @export */
      ja: _wgpuBufferGetSize,
      /** @export */
      ia: _wgpuBufferGetUsage,
      /** @export */
      x: _wgpuCommandEncoderBeginComputePass,
      /** @export */
      C: _wgpuCommandEncoderClearBuffer,
      /** @export */
      ha: _wgpuCommandEncoderCopyBufferToBuffer,
      /** @export */
      ea: _wgpuCommandEncoderCopyBufferToTexture,
      /** @export */
      da: _wgpuCommandEncoderCopyTextureToBuffer,
      /** @export */
      r: _wgpuCommandEncoderFinish,
      /** @export */
      ga: _wgpuCommandEncoderResolveQuerySet,
      /** @export */
      l: _wgpuComputePassEncoderDispatchWorkgroups,
      /** @export */
      w: _wgpuComputePassEncoderEnd,
      /** @export */
      ca: _wgpuComputePassEncoderSetBindGroup,
      /** @export */
      L: _wgpuComputePassEncoderSetPipeline,
      /** @export */
      ba: _wgpuDeviceCreateBindGroup,
      /** @export */
      aa: _wgpuDeviceCreateBindGroupLayout,
      /** @export */
      q: _wgpuDeviceCreateCommandEncoder,
      /** @export */
      $: _wgpuDeviceCreateComputePipeline,
      /** @export */
      _: _wgpuDeviceCreatePipelineLayout,
      /** @export */
      Z: _wgpuDeviceCreateQuerySet,
      /** @export */
      Y: _wgpuDeviceCreateTexture,
      /** @export */
      K: _wgpuDeviceGetAdapterInfo,
      /** @export */
      X: _wgpuDeviceGetLimits,
      /** @export */
      W: _wgpuDeviceHasFeature,
      /** @export */
      o: _wgpuQueueSubmit,
      /** @export */
      fa: _wgpuQueueWriteBuffer,
      /** @export */
      V: _wgpuQueueWriteTexture,
      /** @export */
      U: _wgpuTextureCreateView,
      /** @export */
      T: _wgpuTextureDestroy,
      /** @export */
      S: _wgpuTextureGetDepthOrArrayLayers,
      /** @export */
      B: _wgpuTextureGetHeight,
      /** @export */
      R: _wgpuTextureGetWidth
    };
    function run() {
      if (runDependencies > 0) {
        dependenciesFulfilled = run;
        return;
      }
      preRun();
      if (runDependencies > 0) {
        dependenciesFulfilled = run;
        return;
      }
      function doRun() {
        Module["calledRun"] = true;
        if (ABORT) return;
        initRuntime();
        readyPromiseResolve?.(Module);
        Module["onRuntimeInitialized"]?.();
        postRun();
      }
      if (Module["setStatus"]) {
        Module["setStatus"]("Running...");
        setTimeout(() => {
          setTimeout(() => Module["setStatus"](""), 1);
          doRun();
        }, 1);
      } else {
        doRun();
      }
    }
    var wasmExports;
    wasmExports = await createWasm();
    run();
    if (runtimeInitialized) {
      moduleRtn = Module;
    } else {
      moduleRtn = new Promise((resolve, reject) => {
        readyPromiseResolve = resolve;
        readyPromiseReject = reject;
      });
    }
    return moduleRtn;
  };
})();
if (typeof exports === "object" && typeof module === "object") {
  module.exports = ModuleFactory;
  module.exports.default = ModuleFactory;
} else if (typeof define === "function" && define["amd"])
  define([], () => ModuleFactory);
var litert_wasm_internal_default = ModuleFactory;

// src/litert_loader.ts
var bytes = null;
function provide(wasmBinary) {
  bytes = wasmBinary;
}
async function createWasmLib(constructor) {
  if (!bytes) throw new Error("LiteRT was started without its WebAssembly bytes");
  const wasmBinary = bytes;
  bytes = null;
  return new constructor(await litert_wasm_internal_default({ wasmBinary, printErr: () => void 0 }));
}

// node_modules/@litertjs/core/dist/index.js
var ElementType = {
  NONE: 0,
  FLOAT32: 1,
  INT32: 2,
  UINT8: 3,
  INT64: 4,
  STRING: 5,
  BOOL: 6,
  INT16: 7,
  COMPLEX64: 8,
  INT8: 9,
  FLOAT16: 10,
  FLOAT64: 11,
  COMPLEX128: 12,
  UINT64: 13,
  RESOURCE: 14,
  VARIANT: 15,
  UINT32: 16,
  UINT16: 17,
  INT4: 18,
  BFLOAT16: 19
};
var ElementTypeName = {
  [ElementType.NONE]: "NONE",
  [ElementType.FLOAT32]: "FLOAT32",
  [ElementType.INT32]: "INT32",
  [ElementType.UINT8]: "UINT8",
  [ElementType.INT64]: "INT64",
  [ElementType.STRING]: "STRING",
  [ElementType.BOOL]: "BOOL",
  [ElementType.INT16]: "INT16",
  [ElementType.COMPLEX64]: "COMPLEX64",
  [ElementType.INT8]: "INT8",
  [ElementType.FLOAT16]: "FLOAT16",
  [ElementType.FLOAT64]: "FLOAT64",
  [ElementType.COMPLEX128]: "COMPLEX128",
  [ElementType.UINT64]: "UINT64",
  [ElementType.RESOURCE]: "RESOURCE",
  [ElementType.VARIANT]: "VARIANT",
  [ElementType.UINT32]: "UINT32",
  [ElementType.UINT16]: "UINT16",
  [ElementType.INT4]: "INT4",
  [ElementType.BFLOAT16]: "BFLOAT16"
};
var TensorBufferType = {
  HOST_MEMORY: 1,
  WEB_GPU_BUFFER: 20,
  WEB_GPU_BUFFER_FP16: 21,
  WEB_GPU_BUFFER_PACKED: 26
};
var TensorBufferTypeName = {
  [TensorBufferType.HOST_MEMORY]: "HOST_MEMORY",
  [TensorBufferType.WEB_GPU_BUFFER]: "WEB_GPU_BUFFER",
  [TensorBufferType.WEB_GPU_BUFFER_FP16]: "WEB_GPU_BUFFER_FP16",
  [TensorBufferType.WEB_GPU_BUFFER_PACKED]: "WEB_GPU_BUFFER_PACKED"
};
var DATATYPES = Object.freeze([
  {
    dtype: "float32",
    typedArrayConstructor: Float32Array,
    elementType: ElementType.FLOAT32
  },
  {
    dtype: "int32",
    typedArrayConstructor: Int32Array,
    elementType: ElementType.INT32
  },
  {
    dtype: "uint8",
    typedArrayConstructor: Uint8Array,
    elementType: ElementType.UINT8
  }
]);
function getDataType(val) {
  for (const dataTypeMapping of DATATYPES) {
    if (dataTypeMapping.dtype === val || dataTypeMapping.typedArrayConstructor === val || val instanceof dataTypeMapping.typedArrayConstructor || dataTypeMapping.elementType === val) {
      return dataTypeMapping;
    }
  }
  if (typeof val === "string") {
    throw new Error(`DType ${val} is not supported.`);
  } else if (val instanceof Object) {
    throw new Error(`Typed array ${"name" in val ? val.name : val.constructor.name} is not supported.`);
  } else {
    throw new Error(
      `Element type ${ElementTypeName[val] ?? val} is not supported.`
    );
  }
}
var LiteRtNotLoadedError = class extends Error {
  constructor() {
    super(
      "LiteRT is not initialized yet. Please call loadLiteRt() and wait for its promise to resolve to load the LiteRT WASM module."
    );
  }
};
var globalLiteRt = void 0;
var globalLiteRtPromise = void 0;
function getGlobalLiteRt() {
  if (!globalLiteRt) {
    throw new LiteRtNotLoadedError();
  }
  return globalLiteRt;
}
function setGlobalLiteRt(liteRt) {
  globalLiteRt = liteRt;
}
function getGlobalLiteRtPromise() {
  return globalLiteRtPromise;
}
function hasGlobalLiteRtPromise() {
  return Boolean(globalLiteRtPromise);
}
function setGlobalLiteRtPromise(promise) {
  globalLiteRtPromise = promise;
}
var AcceleratorDefaultTensorBufferType = {
  "webgpu": TensorBufferType.WEB_GPU_BUFFER_PACKED,
  "wasm": TensorBufferType.HOST_MEMORY
};
var TensorBufferTypeToAccelerator = {
  [TensorBufferType.HOST_MEMORY]: "wasm",
  [TensorBufferType.WEB_GPU_BUFFER]: "webgpu",
  [TensorBufferType.WEB_GPU_BUFFER_FP16]: "webgpu",
  [TensorBufferType.WEB_GPU_BUFFER_PACKED]: "webgpu"
};
var DESIRED_WEBGPU_FEATURES = [
  "shader-f16",
  "subgroups"
];
var Environment = class _Environment {
  constructor(options) {
    this.options = options;
    this.liteRtEnvironment = getGlobalLiteRt().liteRtWasm.LiteRtEnvironment.create(
      options.webGpuDevice
    );
  }
  liteRtEnvironment;
  static async create(options = {}) {
    let webGpuDevice = null;
    if ("webGpuDevice" in options) {
      if (options.webGpuDevice) {
        webGpuDevice = options.webGpuDevice;
      }
    } else {
      try {
        webGpuDevice = await createDefaultWebGpuDevice();
      } catch (e) {
        console.warn("Failed to create default WebGPU device:", e);
      }
    }
    return new _Environment({
      ...options,
      webGpuDevice
    });
  }
  get webGpuDevice() {
    return this.options.webGpuDevice;
  }
  delete() {
    this.liteRtEnvironment.delete();
  }
};
async function createDefaultWebGpuDevice() {
  const adapterDescriptor = {
    powerPreference: "high-performance"
  };
  const adapter = await navigator.gpu.requestAdapter(adapterDescriptor);
  if (!adapter) {
    throw new Error("No GPU adapter found.");
  }
  const requiredLimits = {
    maxBufferSize: adapter.limits.maxBufferSize,
    maxStorageBufferBindingSize: adapter.limits.maxStorageBufferBindingSize,
    maxStorageBuffersPerShaderStage: adapter.limits.maxStorageBuffersPerShaderStage,
    maxTextureDimension2D: adapter.limits.maxTextureDimension2D
  };
  const requiredFeatures = [];
  for (const feature of DESIRED_WEBGPU_FEATURES) {
    if (adapter.features.has(feature)) {
      requiredFeatures.push(feature);
    }
  }
  return await adapter.requestDevice({
    requiredFeatures,
    requiredLimits
  });
}
function emscriptenVectorToArray(vector) {
  const array = new Array(vector.size());
  for (let i2 = 0; i2 < vector.size(); ++i2) {
    array[i2] = vector.get(i2);
  }
  vector.delete();
  return array;
}
function fillEmscriptenVector(data, vector) {
  for (const item of data) {
    vector.push_back(item);
  }
}
function parseData(remainingArgs) {
  const data = remainingArgs.shift();
  const liteRtWasm = getGlobalLiteRt().liteRtWasm;
  if (data instanceof liteRtWasm.LiteRtTensorBuffer) {
    return { liteRtTensorBuffer: data };
  } else if (ArrayBuffer.isView(data)) {
    return { typedArray: data };
  } else if (data instanceof GPUBuffer) {
    return { gpuBuffer: data };
  } else {
    throw new Error(
      `Unknown type (${data?.constructor.name ?? data}) provided to create a Tensor`
    );
  }
}
function parseShape(remainingArgs) {
  if (Array.isArray(remainingArgs[0]) || remainingArgs[0] instanceof Int32Array) {
    return { shape: remainingArgs.shift() };
  } else {
    return {};
  }
}
function shiftUntilDefined(remainingArgs) {
  while (remainingArgs.length > 0 && remainingArgs[0] === void 0) {
    remainingArgs.shift();
  }
}
function parseDataType(remainingArgs) {
  shiftUntilDefined(remainingArgs);
  if (typeof remainingArgs[0] === "string") {
    const dtype = remainingArgs.shift();
    return { dataType: getDataType(dtype).dtype };
  } else {
    return {};
  }
}
function parseEnvironment(remainingArgs) {
  shiftUntilDefined(remainingArgs);
  if (remainingArgs[0] instanceof Environment) {
    return { environment: remainingArgs.shift() };
  } else {
    return {};
  }
}
function parseOnDelete(remainingArgs) {
  shiftUntilDefined(remainingArgs);
  if (remainingArgs[0] instanceof Function) {
    return { onDelete: remainingArgs.shift() };
  } else {
    return {};
  }
}
function parseArgs(args) {
  return {
    ...parseData(args),
    ...parseShape(args),
    ...parseDataType(args),
    ...parseEnvironment(args),
    ...parseOnDelete(args)
  };
}
var Tensor = class _Tensor {
  liteRtTensorBuffer;
  type;
  environment;
  deletedInternal = false;
  onDelete;
  static copyFunctions = /* @__PURE__ */ new Map();
  constructor(a, b, c, d, e) {
    const {
      typedArray,
      gpuBuffer,
      liteRtTensorBuffer,
      shape,
      dataType,
      environment,
      onDelete
    } = parseArgs([a, b, c, d, e]);
    this.onDelete = onDelete;
    this.environment = environment ?? getGlobalLiteRt().getDefaultEnvironment();
    if (liteRtTensorBuffer) {
      if (shape) {
        throw new Error(
          "A LiteRtTensorBuffer cannot be provided with a shape."
        );
      }
      if (dataType) {
        throw new Error(
          "A LiteRtTensorBuffer cannot be provided with a data type."
        );
      }
      this.liteRtTensorBuffer = liteRtTensorBuffer;
    } else if (gpuBuffer) {
      if (!shape) {
        throw new Error("A GPUBuffer must be provided with a shape.");
      }
      if (!dataType) {
        throw new Error("A GPUBuffer must be provided with a data type.");
      }
      const [liteRtTensorBuffer2, webGpuBufferPtr] = webGpuBufferToLiteRtTensorBuffer(
        gpuBuffer,
        shape,
        dataType,
        this.environment
      );
      this.liteRtTensorBuffer = liteRtTensorBuffer2;
      const onDelete2 = this.onDelete;
      this.onDelete = () => {
        const liteRtWasm = getGlobalLiteRt().liteRtWasm;
        liteRtWasm.wgpuBufferRelease(webGpuBufferPtr);
        onDelete2?.();
      };
    } else if (typedArray) {
      this.liteRtTensorBuffer = typedArrayToLiteRtTensorBuffer(
        typedArray,
        shape,
        environment
      );
    } else {
      throw new Error("No data provided to create a Tensor.");
    }
    this.type = liteRtTensorBufferToTensorType(this.liteRtTensorBuffer);
  }
  static fromTypedArray(data, shape, environment) {
    return new _Tensor(data, shape, environment);
  }
  ensureNotDeleted() {
    if (this.deleted) {
      throw new Error("Tensor is deleted and cannot be used.");
    }
  }
  async data() {
    this.ensureNotDeleted();
    if (this.liteRtTensorBuffer.bufferType().value === TensorBufferType.HOST_MEMORY) {
      return this.toTypedArray();
    }
    const copy = await this.copyTo("wasm");
    const data = await copy.data();
    copy.delete();
    return data;
  }
  toTypedArray() {
    this.ensureNotDeleted();
    const liteRtWasm = getGlobalLiteRt().liteRtWasm;
    if (this.liteRtTensorBuffer.isWebGpuMemory()) {
      throw new Error(
        "Cannot convert a Tensor with WebGPU memory to a TypedArray."
      );
    }
    if (this.liteRtTensorBuffer.bufferType().value !== liteRtWasm.LiteRtTensorBufferType.HOST_MEMORY.value) {
      throw new Error(
        "Cannot convert a Tensor with non-host memory to a TypedArray."
      );
    }
    if (this.liteRtTensorBuffer.size() !== this.liteRtTensorBuffer.packedSize() || this.liteRtTensorBuffer.offset() !== 0) {
      throw new Error("Tensors with strides or padding are not yet supported.");
    }
    const rankedTensorType = this.liteRtTensorBuffer.tensorType();
    const elementType = rankedTensorType.elementType();
    const byteWidth = liteRtWasm.liteRtGetByteWidth(elementType);
    rankedTensorType.delete();
    const typedArrayConstructor = getDataType(
      elementType.value
    ).typedArrayConstructor;
    if (typedArrayConstructor.BYTES_PER_ELEMENT !== byteWidth) {
      throw new Error(
        `Byte width ${byteWidth} of the tensor's element type ${ElementTypeName[elementType.value]} does not match the expected byte width ${typedArrayConstructor.BYTES_PER_ELEMENT} of the ${typedArrayConstructor.name}.`
      );
    }
    const dataPtr = this.liteRtTensorBuffer.lock(
      getGlobalLiteRt().liteRtWasm.LiteRtTensorBufferLockMode.READ
    );
    try {
      const uint8Array = liteRtWasm.HEAPU8.slice(
        dataPtr,
        dataPtr + this.liteRtTensorBuffer.packedSize()
      );
      const typedArray = new typedArrayConstructor(
        uint8Array.buffer,
        uint8Array.byteOffset,
        uint8Array.byteLength / byteWidth
      );
      return typedArray;
    } finally {
      this.liteRtTensorBuffer.unlock();
    }
  }
  getBufferType() {
    this.ensureNotDeleted();
    return this.liteRtTensorBuffer.bufferType().value;
  }
  /**
   * Returns the underlying GPUBuffer of the Tensor.
   *
   * Note that the lifetime of the returned GPUBuffer is dependant upon how the
   * Tensor was created. If the Tensor was constructed from a GPUBuffer, then
   * the GPUBuffer will NOT be released when the Tensor is deleted. If the
   * Tensor was copied/moved to GPU from host memory, then the GPU buffer will
   * be released when the Tensor is deleted.
   *
   * The GPU buffer may be larger than the actual data in the tensor.
   *
   * @return The GPUBuffer containing the Tensor's data.
   */
  toGpuBuffer() {
    this.ensureNotDeleted();
    const liteRtWasm = getGlobalLiteRt().liteRtWasm;
    if (!this.liteRtTensorBuffer.isWebGpuMemory()) {
      throw new Error(
        "Cannot convert a Tensor with non-WebGPU memory to a GPUBuffer."
      );
    }
    const bufferTypeValue = this.liteRtTensorBuffer.bufferType().value;
    if (bufferTypeValue !== liteRtWasm.LiteRtTensorBufferType.WEB_GPU_BUFFER.value && bufferTypeValue !== liteRtWasm.LiteRtTensorBufferType.WEB_GPU_BUFFER_FP16.value && bufferTypeValue !== liteRtWasm.LiteRtTensorBufferType.WEB_GPU_BUFFER_PACKED.value) {
      throw new Error(
        "Cannot convert a Tensor with host memory to a GPUBuffer."
      );
    }
    if (this.liteRtTensorBuffer.size() !== this.liteRtTensorBuffer.packedSize() || this.liteRtTensorBuffer.offset() !== 0) {
      throw new Error("Tensors with strides or padding are not yet supported.");
    }
    const gpuBufferId = this.liteRtTensorBuffer.getWebGpuBuffer();
    return liteRtWasm.WebGPU.getJsObject(gpuBufferId);
  }
  getCopyFunctionSet(destination) {
    this.ensureNotDeleted();
    const sourceBufferType = this.getBufferType();
    const copyFunctions = _Tensor.copyFunctions.get(sourceBufferType);
    if (!copyFunctions) {
      throw new Error(
        `TensorBufferType ${TensorBufferTypeName[sourceBufferType] ?? sourceBufferType} does not support copying or moving`
      );
    }
    const destinationBufferType = typeof destination === "string" ? AcceleratorDefaultTensorBufferType[destination] : destination;
    if (destinationBufferType == null) {
      throw new Error(
        `Unknown destination '${destination}' for copying or moving.`
      );
    }
    const copyFunctionSet = copyFunctions.get(destinationBufferType);
    if (!copyFunctionSet) {
      const supportedDestinations = [...copyFunctions].map(
        ([key]) => TensorBufferTypeName[key] ?? key
      );
      throw new Error(
        `TensorBufferType ${TensorBufferTypeName[sourceBufferType]} does not support copying or moving to ${TensorBufferTypeName[destinationBufferType]}. It supports the following TensorBufferTypes: [${supportedDestinations.join(
          ", "
        )}].`
      );
    }
    return [copyFunctionSet, destinationBufferType];
  }
  /**
   * Copies the tensor to the given accelerator.
   *
   * @param destination The accelerator or buffer type to copy to.
   * @return A promise that resolves to the copied tensor.
   */
  async copyTo(destination, options) {
    const [copyFunctionSet, destinationBufferType] = this.getCopyFunctionSet(destination);
    if (!copyFunctionSet.copyTo) {
      throw new Error(
        `Copying to ${TensorBufferTypeName[destinationBufferType]} is not supported by this tensor.`
      );
    }
    return copyFunctionSet.copyTo(this, options);
  }
  /**
   * Moves the tensor to the given accelerator.
   *
   * @param destination The accelerator or buffer type to move to.
   * @return A promise that resolves to the moved tensor.
   */
  async moveTo(destination, options) {
    const [copyFunctionSet, destinationBufferType] = this.getCopyFunctionSet(destination);
    if (!copyFunctionSet.moveTo) {
      throw new Error(
        `Moving to ${TensorBufferTypeName[destinationBufferType]} is not supported by this tensor.`
      );
    }
    return copyFunctionSet.moveTo(this, options);
  }
  get bufferType() {
    return this.liteRtTensorBuffer.bufferType().value;
  }
  get accelerator() {
    const accelerator = TensorBufferTypeToAccelerator[this.bufferType];
    if (accelerator === void 0) {
      throw new Error(
        `TensorBufferType ${TensorBufferTypeName[this.bufferType]} has an unknown accelerator type.`
      );
    }
    return accelerator;
  }
  get deleted() {
    return this.deletedInternal;
  }
  delete() {
    if (this.deletedInternal) {
      return;
    }
    this.deletedInternal = true;
    this.liteRtTensorBuffer.delete();
    this.onDelete?.();
  }
};
function liteRtTensorBufferToTensorType(liteRtTensorBuffer) {
  const liteRtRankedTensorType = liteRtTensorBuffer.tensorType();
  const elementType = liteRtRankedTensorType.elementType();
  const liteRtLayout = liteRtRankedTensorType.layout();
  const dimensions = liteRtLayout.dimensions();
  liteRtLayout.delete();
  liteRtRankedTensorType.delete();
  return {
    dtype: getDataType(elementType.value).dtype,
    layout: { dimensions: emscriptenVectorToArray(dimensions) }
  };
}
function webGpuBufferToLiteRtTensorBuffer(gpuBuffer, shape, dtype, environment) {
  const globalLiteRt2 = getGlobalLiteRt();
  const liteRtWasm = globalLiteRt2.liteRtWasm;
  const dimensionsVector = new liteRtWasm.VectorInt32();
  fillEmscriptenVector(shape, dimensionsVector);
  const layout = liteRtWasm.LiteRtLayout.create(dimensionsVector);
  dimensionsVector.delete();
  const rankedTensorType = liteRtWasm.LiteRtRankedTensorType.create(
    { value: getDataType(dtype).elementType },
    layout
  );
  layout.delete();
  const importedGpuBufferPtr = liteRtWasm.WebGPU.importJsBuffer(gpuBuffer);
  const liteRtTensorBuffer = liteRtWasm.LiteRtTensorBuffer.createFromWebGpuBuffer(
    environment.liteRtEnvironment,
    rankedTensorType,
    liteRtWasm.LiteRtTensorBufferType.WEB_GPU_BUFFER_PACKED,
    importedGpuBufferPtr,
    gpuBuffer.size
  );
  rankedTensorType.delete();
  return [liteRtTensorBuffer, importedGpuBufferPtr];
}
function typedArrayToLiteRtTensorBuffer(data, shape, environment) {
  const globalLiteRt2 = getGlobalLiteRt();
  const liteRtWasm = globalLiteRt2.liteRtWasm;
  environment = environment ?? globalLiteRt2.getDefaultEnvironment();
  const elementType = getDataType(data).elementType;
  const dimensionsVector = new liteRtWasm.VectorInt32();
  fillEmscriptenVector(shape ?? [data.length], dimensionsVector);
  const layout = liteRtWasm.LiteRtLayout.create(dimensionsVector);
  dimensionsVector.delete();
  const expectedNumElements = layout.numElements();
  if (data.length !== expectedNumElements) {
    layout.delete();
    throw new Error(
      `Number of elements ${data.length} of the provided TypedArray does not match the expected number of elements ${expectedNumElements}.`
    );
  }
  const rankedTensorType = liteRtWasm.LiteRtRankedTensorType.create(
    { value: elementType },
    layout
  );
  layout.delete();
  const arrayType = data.constructor;
  const bufferSize = arrayType.BYTES_PER_ELEMENT * data.length;
  const expectedBufferSize = rankedTensorType.bytes();
  if (bufferSize !== expectedBufferSize) {
    rankedTensorType.delete();
    throw new Error(
      `Byte length ${bufferSize} of the provided TypedArray does not match the expected buffer size ${expectedBufferSize}.`
    );
  }
  const liteRtTensorBuffer = liteRtWasm.LiteRtTensorBuffer.createManaged(
    environment.liteRtEnvironment,
    liteRtWasm.LiteRtTensorBufferType.HOST_MEMORY,
    rankedTensorType,
    bufferSize
  );
  rankedTensorType.delete();
  const dataPtr = liteRtTensorBuffer.lock(
    liteRtWasm.LiteRtTensorBufferLockMode.WRITE
  );
  try {
    const uint8Data = new Uint8Array(
      data.buffer,
      data.byteOffset,
      data.byteLength
    );
    liteRtWasm.HEAPU8.set(uint8Data, dataPtr);
  } finally {
    liteRtTensorBuffer.unlock();
  }
  return liteRtTensorBuffer;
}
var CompiledModelSignatureRunner = class {
  constructor(signatureIndex, liteRtModel, liteRtCompiledModel, options) {
    this.signatureIndex = signatureIndex;
    this.liteRtModel = liteRtModel;
    this.liteRtCompiledModel = liteRtCompiledModel;
    this.options = options;
    this.liteRtSimpleSignature = liteRtModel.getSignature(signatureIndex);
    const inputNames = emscriptenVectorToArray(this.liteRtSimpleSignature.inputNames());
    const inputDetails = [];
    for (let i2 = 0; i2 < inputNames.length; i2++) {
      const name = inputNames[i2];
      const tensorType = liteRtModel.getInputTensorType(signatureIndex, i2);
      const requirements = liteRtCompiledModel.getInputBufferRequirements(signatureIndex, i2);
      inputDetails.push(makeTensorDetails(name, i2, tensorType, requirements));
    }
    this.inputDetails = Object.freeze(inputDetails);
    const outputNames = emscriptenVectorToArray(this.liteRtSimpleSignature.outputNames());
    const outputDetails = [];
    for (let i2 = 0; i2 < outputNames.length; i2++) {
      const name = outputNames[i2];
      const tensorType = liteRtModel.getOutputTensorType(signatureIndex, i2);
      const requirements = liteRtCompiledModel.getOutputBufferRequirements(signatureIndex, i2);
      outputDetails.push(makeTensorDetails(name, i2, tensorType, requirements));
    }
    this.outputDetails = Object.freeze(outputDetails);
  }
  inputDetails;
  outputDetails;
  liteRtSimpleSignature;
  deletedInternal = false;
  /**
   * The string key corresponding to this signature in the model.
   */
  get key() {
    this.ensureNotDeleted();
    return this.liteRtSimpleSignature.key();
  }
  /**
   * Get details about each input tensor.
   */
  getInputDetails() {
    this.ensureNotDeleted();
    return this.inputDetails;
  }
  /**
   * Get details about each output tensor.
   */
  getOutputDetails() {
    this.ensureNotDeleted();
    return this.outputDetails;
  }
  async run(input) {
    this.ensureNotDeleted();
    const inputArray = this.inputsToArray(input);
    const { inputsOnAccelerator, cleanup } = await this.ensureInputsOnAccelerator(inputArray);
    let outputArray;
    try {
      outputArray = await this.runWithArray(inputsOnAccelerator);
    } finally {
      cleanup();
    }
    if (Array.isArray(input) || input instanceof Tensor) {
      return outputArray;
    } else {
      return this.outputsToRecord(outputArray);
    }
  }
  inputsToArray(input) {
    if (Array.isArray(input)) {
      if (input.length !== this.inputDetails.length) {
        throw new Error(
          `run() called with ${input.length} inputs, but signature expects ${this.inputDetails.length} inputs`
        );
      }
      return input;
    }
    if (input instanceof Tensor) {
      if (this.inputDetails.length !== 1) {
        throw new Error(
          `run() called with a single tensor, but signature expects ${this.inputDetails.length} inputs`
        );
      }
      return [input];
    }
    const inputArray = [];
    for (const inputDetails of this.inputDetails) {
      if (!(inputDetails.name in input)) {
        throw new Error(
          `run() called with input record that is missing input ${inputDetails.name} with index ${inputDetails.index}`
        );
      }
      inputArray.push(input[inputDetails.name]);
    }
    return inputArray;
  }
  outputsToRecord(output) {
    const outputRecord = {};
    for (let i2 = 0; i2 < this.outputDetails.length; i2++) {
      outputRecord[this.outputDetails[i2].name] = output[i2];
    }
    return outputRecord;
  }
  /**
   * Ensures that all input tensors are on the correct accelerator. Copies any
   * tensors that are not on the correct accelerator.
   *
   * @param inputs The input tensors to be passed to the signature. They must
   *     be in the same order and quantity as the input details.
   * @return A promise that resolves to a list of input tensors that are on the
   *     correct accelerator, and a cleanup function that deletes any tensors
   *     that were copied.
   */
  async ensureInputsOnAccelerator(inputs) {
    const toDelete = [];
    const inputsOnAccelerator = [];
    const inputDetails = this.getInputDetails();
    if (inputs.length !== inputDetails.length) {
      throw new Error(`ensureInputsOnAccelerator() called with ${inputs.length} inputs, but signature expects ${inputDetails.length} inputs`);
    }
    for (let i2 = 0; i2 < inputs.length; i2++) {
      const input = inputs[i2];
      const bufferType = input.getBufferType();
      const supportedBufferTypes = inputDetails[i2].supportedBufferTypes;
      if (supportedBufferTypes.size === 0) {
        throw new Error(`Tensor ${inputDetails[i2].name} with index ${inputDetails[i2].index} has no supported buffer types.`);
      }
      if (supportedBufferTypes.has(bufferType)) {
        inputsOnAccelerator.push(input);
      } else {
        const newBufferType = supportedBufferTypes.values().next().value;
        const copy = await input.copyTo(newBufferType);
        toDelete.push(copy);
        inputsOnAccelerator.push(copy);
      }
    }
    return {
      inputsOnAccelerator,
      cleanup: () => {
        for (const tensor of toDelete) {
          tensor.delete();
        }
      }
    };
  }
  async runWithArray(input) {
    for (let i2 = 0; i2 < input.length; i2++) {
      const inputTensor = input[i2];
      const expectedRankedTensorType = this.liteRtModel.getInputTensorType(this.signatureIndex, i2);
      const inputRequirements = this.liteRtCompiledModel.getInputBufferRequirements(
        this.signatureIndex,
        i2
      );
      getGlobalLiteRt().liteRtWasm.checkTensorBufferCompatible(
        inputTensor.liteRtTensorBuffer,
        expectedRankedTensorType,
        inputRequirements
      );
      expectedRankedTensorType.delete();
      inputRequirements.delete();
    }
    const outputTensorBuffers = await this.liteRtCompiledModel.run(
      this.signatureIndex,
      input.map((tensor) => tensor.liteRtTensorBuffer)
    );
    return outputTensorBuffers.map(
      (tensorBuffer) => new Tensor(tensorBuffer, this.options.environment)
    );
  }
  get deleted() {
    return this.deletedInternal;
  }
  ensureNotDeleted() {
    if (this.deleted) {
      throw new Error(
        "CompiledModelSignatureRunner is deleted and cannot be used."
      );
    }
  }
  delete() {
    if (this.deletedInternal) {
      return;
    }
    this.deletedInternal = true;
    this.liteRtSimpleSignature.delete();
  }
};
function makeTensorDetails(name, index, tensorType, requirements) {
  const layout = tensorType.layout();
  const dimensions = emscriptenVectorToArray(layout.dimensions());
  layout.delete();
  const supportedBufferTypes = new Set(emscriptenVectorToArray(requirements.supportedTypes()).map(({ value }) => value));
  const details = {
    name,
    index,
    dtype: getDataType(tensorType.elementType().value).dtype,
    shape: new Int32Array(dimensions),
    supportedBufferTypes
  };
  tensorType.delete();
  requirements.delete();
  return details;
}
var CompiledModel = class {
  constructor(model, liteRtCompiledModel, options, onDelete) {
    this.model = model;
    this.liteRtCompiledModel = liteRtCompiledModel;
    this.options = options;
    this.onDelete = onDelete;
    const numSignatures = model.liteRtModel.getNumSignatures();
    const compiledModelSignatureRunners = {};
    for (let i2 = 0; i2 < numSignatures; i2++) {
      const compiledModelSignatureRunner = new CompiledModelSignatureRunner(
        i2,
        model.liteRtModel,
        liteRtCompiledModel,
        options
      );
      compiledModelSignatureRunners[compiledModelSignatureRunner.key] = compiledModelSignatureRunner;
    }
    this.compiledModelSignatureRunners = Object.freeze(compiledModelSignatureRunners);
    this.defaultSignature = Object.values(this.signatures)[0];
    this.key = this.defaultSignature.key;
  }
  defaultSignature;
  compiledModelSignatureRunners;
  key;
  deletedInternal = false;
  get signatures() {
    this.ensureNotDeleted();
    return this.compiledModelSignatureRunners;
  }
  getInputDetails() {
    this.ensureNotDeleted();
    return this.defaultSignature.getInputDetails();
  }
  getOutputDetails() {
    this.ensureNotDeleted();
    return this.defaultSignature.getOutputDetails();
  }
  async run(inputOrSignatureName, maybeInput) {
    this.ensureNotDeleted();
    const [signature, input] = this.parseRunInputs(inputOrSignatureName, maybeInput);
    return await signature.run(input);
  }
  parseRunInputs(inputOrSignatureName, maybeInput) {
    let signature;
    let input;
    if (typeof inputOrSignatureName === "string") {
      signature = this.signatures[inputOrSignatureName];
      if (!signature) {
        throw new Error(
          `No signature named ${inputOrSignatureName} found in model.`
        );
      }
      if (!maybeInput) {
        throw new Error(
          `No input provided for signature ${inputOrSignatureName}`
        );
      }
      input = maybeInput;
    } else {
      signature = this.defaultSignature;
      input = inputOrSignatureName;
    }
    return [signature, input];
  }
  get deleted() {
    return this.deletedInternal;
  }
  ensureNotDeleted() {
    if (this.deleted) {
      throw new Error("CompiledModel is deleted and cannot be used.");
    }
  }
  get isFullyAccelerated() {
    this.ensureNotDeleted();
    return this.liteRtCompiledModel.isFullyAccelerated();
  }
  delete() {
    if (this.deletedInternal) {
      return;
    }
    this.deletedInternal = true;
    this.liteRtCompiledModel.delete();
    this.model.delete();
    for (const signatureRunner of Object.values(
      this.compiledModelSignatureRunners
    )) {
      signatureRunner.delete();
    }
    this.onDelete();
  }
};
async function urlToUint8Array(url) {
  const response = await fetch(url);
  return new Uint8Array(await response.arrayBuffer());
}
async function readableStreamDefaultReaderToUint8Array(reader) {
  let byteOffset = 0;
  let array = new Uint8Array(
    1024
    /* arbitrary starting size */
  );
  const MAX_ARRAY_SIZE = 2e9;
  while (true) {
    const { done, value } = await reader.read();
    if (value) {
      if (array.byteLength < byteOffset + value.byteLength) {
        if (byteOffset + value.byteLength > MAX_ARRAY_SIZE) {
          throw new Error(`Model is too large (> ${MAX_ARRAY_SIZE} bytes).`);
        }
        const newArray = new Uint8Array(Math.min(
          MAX_ARRAY_SIZE,
          Math.max(array.byteLength, value.byteLength) * 2
        ));
        newArray.set(array);
        array = newArray;
      }
      array.set(value, byteOffset);
      byteOffset += value.byteLength;
    }
    if (done) {
      break;
    }
  }
  return array.slice(0, byteOffset);
}
var Model = class {
  constructor(liteRtModel, onDelete) {
    this.liteRtModel = liteRtModel;
    this.onDelete = onDelete;
  }
  delete() {
    this.liteRtModel.delete();
    this.onDelete();
  }
};
function fillCompileOptions(compileOptions = {}, environment, defaultThreadCount) {
  return {
    environment,
    accelerator: compileOptions.accelerator ?? (environment.webGpuDevice ? "webgpu" : "wasm"),
    cpuOptions: compileOptions.cpuOptions ?? { numThreads: defaultThreadCount },
    gpuOptions: compileOptions.gpuOptions ?? {},
    webNNOptions: compileOptions.webNNOptions ?? {}
  };
}
var WASM_RELAXED_SIMD_CHECK = new Uint8Array([
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  5,
  1,
  96,
  0,
  1,
  123,
  3,
  2,
  1,
  0,
  10,
  15,
  1,
  13,
  0,
  65,
  1,
  253,
  15,
  65,
  2,
  253,
  15,
  253,
  128,
  2,
  11
]);
var WASM_THREADS_CHECK = new Uint8Array([
  0,
  97,
  115,
  109,
  1,
  0,
  0,
  0,
  1,
  4,
  1,
  96,
  0,
  0,
  3,
  2,
  1,
  0,
  5,
  4,
  1,
  3,
  1,
  1,
  10,
  11,
  1,
  9,
  0,
  65,
  0,
  254,
  16,
  2,
  0,
  26,
  11
]);
var WASM_FEATURE_VALUES = {
  "relaxedSimd": void 0,
  "threads": void 0,
  "jspi": void 0,
  "webnn": void 0
};
function isJspiSupported() {
  return "Suspending" in WebAssembly;
}
function isWebNnSupported() {
  return typeof navigator !== "undefined" && !!navigator.ml;
}
async function tryWasm(wasm) {
  try {
    await WebAssembly.instantiate(wasm);
    return { supported: true };
  } catch (e) {
    return { supported: false, error: e };
  }
}
var WASM_FEATURE_CHECKS = {
  "relaxedSimd": () => {
    if (WASM_FEATURE_VALUES.relaxedSimd === void 0) {
      WASM_FEATURE_VALUES.relaxedSimd = tryWasm(WASM_RELAXED_SIMD_CHECK);
    }
    return WASM_FEATURE_VALUES.relaxedSimd;
  },
  "threads": () => {
    if (WASM_FEATURE_VALUES.threads === void 0) {
      try {
        if (typeof MessageChannel !== "undefined") {
          new MessageChannel().port1.postMessage(new SharedArrayBuffer(1));
        }
        WASM_FEATURE_VALUES.threads = tryWasm(WASM_THREADS_CHECK);
      } catch (e) {
        WASM_FEATURE_VALUES.threads = Promise.resolve({ supported: false, error: e });
      }
    }
    return WASM_FEATURE_VALUES.threads;
  },
  "jspi": () => {
    if (WASM_FEATURE_VALUES.jspi === void 0) {
      const supported = isJspiSupported();
      WASM_FEATURE_VALUES.jspi = Promise.resolve({
        supported,
        error: supported ? void 0 : new Error("JSPI is not supported")
      });
    }
    return WASM_FEATURE_VALUES.jspi;
  },
  "webnn": () => {
    if (WASM_FEATURE_VALUES.webnn === void 0) {
      const supported = isWebNnSupported();
      WASM_FEATURE_VALUES.webnn = Promise.resolve({
        supported,
        error: supported ? void 0 : new Error("WebNN is not supported")
      });
    }
    return WASM_FEATURE_VALUES.webnn;
  }
};
async function supportsFeature(feature) {
  const check = WASM_FEATURE_CHECKS[feature]?.();
  if (!check) {
    throw new Error(`Unknown feature: ${feature}`);
  }
  return (await check).supported;
}
async function throwIfFeatureNotSupported(feature) {
  const check = WASM_FEATURE_CHECKS[feature]?.();
  if (!check) {
    throw new Error(`Unknown feature: ${feature}`);
  }
  const result = await check;
  if (!result.supported) {
    throw result.error;
  }
}
function loadAndCompile(model, compileOptions) {
  return getGlobalLiteRt().loadAndCompile(model, compileOptions);
}
var LiteRt = class {
  liteRtWasm;
  defaultEnvironment;
  objectsToDelete = /* @__PURE__ */ new Set();
  constructor(wasmModule) {
    this.liteRtWasm = wasmModule;
    this.liteRtWasm.setupLogging();
  }
  setDefaultEnvironment(environment) {
    this.defaultEnvironment = environment;
  }
  getDefaultEnvironment() {
    if (!this.defaultEnvironment) {
      throw new Error("Default environment is not set.");
    }
    return this.defaultEnvironment;
  }
  setWebGpuDevice(device) {
    const oldEnvironment = this.getDefaultEnvironment();
    this.setDefaultEnvironment(new Environment({
      ...oldEnvironment.options,
      webGpuDevice: device
    }));
  }
  getWebGpuDevice() {
    return this.getDefaultEnvironment().webGpuDevice;
  }
  /**
   * Registers an object to be deleted when this LiteRt instance is deleted.
   * Internal use only.
   */
  _registerObjectForDeletion(object) {
    this.objectsToDelete.add(object);
  }
  /**
   * Unregisters an object from being deleted when this LiteRt instance is
   * deleted. Internal use only.
   */
  _unregisterObjectForDeletion(object) {
    this.objectsToDelete.delete(object);
  }
  /**
   * Loads and compiles a LiteRt model.
   *
   * @param model The model data. This can be a string (the model url), a URL
   *     object, a Uint8Array (the model bytes), or a
   *     ReadableStreamDefaultReader (for streaming model loading).
   * @param compileOptions The options for compiling the model. This includes
   *     the accelerator to use ('webgpu' or 'wasm') and the WebGPU device
   *     (for direct GPU model inputs / outputs).
   * @returns A promise that resolves to the CompiledModel.
   */
  async loadAndCompile(model, compileOptions = {}) {
    let modelData;
    if (typeof model === "string" || model instanceof URL) {
      modelData = await urlToUint8Array(model);
    } else if (model instanceof Uint8Array) {
      modelData = model;
    } else if (model instanceof ReadableStreamDefaultReader) {
      modelData = await readableStreamDefaultReaderToUint8Array(model);
    } else {
      throw new Error("Unsupported model type.");
    }
    const environment = compileOptions.environment ?? this.getDefaultEnvironment();
    const accelerator = compileOptions.accelerator ?? (environment.webGpuDevice ? "webgpu" : "wasm");
    const isWebGpu = accelerator === "webgpu";
    if (isWebGpu && !environment.webGpuDevice) {
      throw new Error(
        "WebGPU was requested but no WebGPU device is set in the environment."
      );
    }
    const filledCompileOptions = fillCompileOptions(
      compileOptions,
      environment,
      this.liteRtWasm.getThreadCount()
    );
    const ptr = this.liteRtWasm._malloc(modelData.byteLength);
    this.liteRtWasm.HEAPU8.set(modelData, ptr);
    const wasmModel = this.liteRtWasm.loadModel(
      filledCompileOptions.environment.liteRtEnvironment,
      ptr,
      modelData.byteLength
    );
    const wasmCompiledModel = await this.liteRtWasm.compileModel(
      filledCompileOptions.environment.liteRtEnvironment,
      wasmModel,
      filledCompileOptions
    );
    const loadedModel = new Model(wasmModel, () => {
      this.liteRtWasm._free(ptr);
    });
    const compiledModel = new CompiledModel(
      loadedModel,
      wasmCompiledModel,
      filledCompileOptions,
      () => {
        this.objectsToDelete.delete(compiledModel);
      }
    );
    this.objectsToDelete.add(compiledModel);
    const isWebNn = accelerator === "webnn";
    const acceleratorRequested = isWebGpu || isWebNn;
    if (acceleratorRequested && !compiledModel.isFullyAccelerated) {
      if (isJspiSupported()) {
        console.warn(
          `%c[LiteRT]%c Model not fully compiled for ${accelerator}. Partially delegating to WASM execution.`,
          "background: #FFA000; color: black; font-weight: bold; padding: 2px 5px; border-radius: 3px;",
          "font-weight: bold;"
        );
      } else {
        console.warn(
          `%c[LiteRT]%c Model not fully compiled for ${accelerator} on non-JSPI browser. Falling back to WASM execution.`,
          "background: #D32F2F; color: white; font-weight: bold; padding: 2px 5px; border-radius: 3px;",
          "color: #D32F2F; font-weight: bold;"
        );
        compiledModel.delete();
        const fallbackCompileOptions = {
          ...compileOptions,
          accelerator: "wasm"
        };
        return this.loadAndCompile(modelData, fallbackCompileOptions);
      }
    }
    return compiledModel;
  }
  delete() {
    for (const object of this.objectsToDelete) {
      object.delete();
    }
  }
};
function pathToString(path) {
  return path;
}
function appendPathSegment(path, segment) {
  if (!path) return segment;
  if (!segment) return path;
  const pathWithSlash = path.endsWith("/") ? path : path + "/";
  const segmentWithoutSlash = segment.startsWith("/") ? segment.substring(1) : segment;
  return pathWithSlash + segmentWithoutSlash;
}
var WASM_JS_FILE_NAME = "litert_wasm_internal.js";
var WASM_JS_COMPAT_FILE_NAME = "litert_wasm_compat_internal.js";
var WASM_JS_THREADED_FILE_NAME = "litert_wasm_threaded_internal.js";
var WASM_JS_JSPI_FILE_NAME = "litert_wasm_jspi_internal.js";
async function load(path, options) {
  const pathString = pathToString(path);
  const isFullFilePath = pathString.endsWith(".wasm") || pathString.endsWith(".js");
  const relaxedSimd = await supportsFeature("relaxedSimd");
  if (options?.threads) {
    if (options?.jspi) {
      throw new Error(
        "The `threads` and `jspi` options are mutually exclusive."
      );
    }
    if (isFullFilePath) {
      console.warn(
        `The \`threads\` option was specified, but the wasm path ${pathString} is a full file path. Whether threads are available or not will depend on the loaded file. To allow LiteRT.js to load the threaded wasm file, use a directory path instead of a full file path.`
      );
    }
    if (!relaxedSimd) {
      throw new Error(
        "Threads are only supported with relaxed SIMD, and the current browser does not support relaxed SIMD."
      );
    }
    await throwIfFeatureNotSupported("threads");
  }
  if (options?.jspi) {
    if (isFullFilePath) {
      console.warn(
        `The \`jspi\` option was specified, but the wasm path ${pathString} is a full file path. Whether JSPI is available or not will depend on the loaded file. To allow LiteRT.js to load the JSPI wasm file, use a directory path instead of a full file path.`
      );
    }
    await throwIfFeatureNotSupported("jspi");
  }
  let fileName = WASM_JS_COMPAT_FILE_NAME;
  if (relaxedSimd) {
    if (options?.threads) {
      fileName = WASM_JS_THREADED_FILE_NAME;
    } else if (options?.jspi) {
      fileName = WASM_JS_JSPI_FILE_NAME;
    } else {
      fileName = WASM_JS_FILE_NAME;
    }
  }
  let jsFilePath = path;
  if (pathString.endsWith(".wasm")) {
    throw new Error(
      "Please load the `.js` file corresponding to the `.wasm` file, or load the directory containing it."
    );
  } else if (!pathString.endsWith(".js")) {
    jsFilePath = appendPathSegment(path, fileName);
  }
  return createWasmLib(LiteRt, jsFilePath);
}
function loadLiteRt(path, options) {
  if (hasGlobalLiteRtPromise()) {
    throw new Error("LiteRT is already loading / loaded.");
  }
  setGlobalLiteRtPromise(load(path, options).then(async (liteRt) => {
    setGlobalLiteRt(liteRt);
    liteRt.setDefaultEnvironment(
      await Environment.create({ webGpuDevice: null })
    );
    return liteRt;
  }).catch((error) => {
    setGlobalLiteRtPromise(void 0);
    throw error;
  }));
  return getGlobalLiteRtPromise();
}
var compilationLock = Promise.resolve();
async function copyHostMemoryToHostMemory(cpuTensor, options = {}) {
  const environment = options.environment ?? cpuTensor.environment;
  const liteRtWasm = getGlobalLiteRt().liteRtWasm;
  const srcTensorBuffer = cpuTensor.liteRtTensorBuffer;
  const bufferType = srcTensorBuffer.bufferType();
  if (bufferType.value !== TensorBufferType.HOST_MEMORY) {
    throw new Error(
      "Source tensor is not in host memory. Cannot copy to host memory."
    );
  }
  const srcTensorMemoryPtr = srcTensorBuffer.lock(
    liteRtWasm.LiteRtTensorBufferLockMode.READ
  );
  let destTensorBuffer;
  try {
    destTensorBuffer = liteRtWasm.LiteRtTensorBuffer.createManaged(
      environment.liteRtEnvironment,
      liteRtWasm.LiteRtTensorBufferType.HOST_MEMORY,
      srcTensorBuffer.tensorType(),
      srcTensorBuffer.size()
    );
    const destMemoryPointer = destTensorBuffer.lock(
      liteRtWasm.LiteRtTensorBufferLockMode.WRITE
    );
    try {
      const srcTensorMemoryView = new Uint8Array(
        liteRtWasm.HEAPU8.buffer,
        srcTensorMemoryPtr,
        srcTensorBuffer.size()
      );
      liteRtWasm.HEAPU8.set(srcTensorMemoryView, destMemoryPointer);
    } finally {
      destTensorBuffer.unlock();
    }
  } finally {
    srcTensorBuffer.unlock();
  }
  if (!destTensorBuffer) {
    throw new Error("Failed to create destination tensor buffer.");
  }
  return new Tensor(destTensorBuffer, environment);
}
async function cpuTensorToGpuTensor(cpuTensor, options = {}) {
  const environment = options.environment ?? cpuTensor.environment;
  const device = environment.webGpuDevice;
  if (!device) {
    throw new Error(
      "No WebGPU device is available. Did you forget to pass a destination environment that has a WebGPU device?"
    );
  }
  const liteRtWasm = getGlobalLiteRt().liteRtWasm;
  const byteLength = cpuTensor.liteRtTensorBuffer.size();
  const paddedByteLength = byteLength + 3 & ~3;
  const stagingBuffer = device.createBuffer({
    size: paddedByteLength,
    usage: GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC,
    mappedAtCreation: true
  });
  const mappedBuffer = await stagingBuffer.getMappedRange();
  const mappedArray = new Uint8Array(mappedBuffer);
  const cpuMemoryPtr = cpuTensor.liteRtTensorBuffer.lock(
    liteRtWasm.LiteRtTensorBufferLockMode.READ
  );
  try {
    const cpuMemoryView = new Uint8Array(
      liteRtWasm.HEAPU8.buffer,
      cpuMemoryPtr,
      cpuTensor.liteRtTensorBuffer.size()
    );
    mappedArray.set(cpuMemoryView);
  } finally {
    cpuTensor.liteRtTensorBuffer.unlock();
  }
  stagingBuffer.unmap();
  const buffer = device.createBuffer({
    size: paddedByteLength,
    usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST | GPUBufferUsage.STORAGE
  });
  const commandEncoder = device.createCommandEncoder();
  commandEncoder.copyBufferToBuffer(
    stagingBuffer,
    0,
    buffer,
    0,
    paddedByteLength
  );
  device.queue.submit([commandEncoder.finish()]);
  stagingBuffer.destroy();
  return new Tensor(
    buffer,
    cpuTensor.type.layout.dimensions,
    cpuTensor.type.dtype,
    environment,
    () => {
      buffer.destroy();
    }
  );
}
async function gpuTensorToCpuTensor(gpuTensor, options = {}) {
  const environment = options.environment ?? gpuTensor.environment;
  const device = gpuTensor.environment.webGpuDevice;
  if (!device) {
    throw new Error(
      "No WebGPU device is available. Does the source tensor have a WebGPU device?"
    );
  }
  const liteRtWasm = getGlobalLiteRt().liteRtWasm;
  const tensorBuffer = gpuTensor.liteRtTensorBuffer;
  const bufferType = tensorBuffer.bufferType();
  if (bufferType !== liteRtWasm.LiteRtTensorBufferType.WEB_GPU_BUFFER_PACKED) {
    throw new Error(`Cannot convert a tensor with a non-WebGPU buffer type ${bufferType} to a CPU tensor.`);
  }
  const gpuBuffer = liteRtWasm.WebGPU.getJsObject(
    tensorBuffer.getWebGpuBuffer()
  );
  const byteOffset = tensorBuffer.offset();
  const tensorType = tensorBuffer.tensorType();
  const layout = tensorType.layout();
  const numElements = layout.numElements();
  const arrayConstructor = getDataType(tensorType.elementType().value).typedArrayConstructor;
  layout.delete();
  tensorType.delete();
  let mappableBuffer = gpuBuffer;
  let cleanupBuffer = () => {
  };
  if (!(gpuBuffer.usage & GPUBufferUsage.MAP_READ)) {
    mappableBuffer = device.createBuffer({
      size: gpuBuffer.size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ
    });
    cleanupBuffer = () => {
      mappableBuffer.destroy();
    };
    const commandEncoder = device.createCommandEncoder();
    commandEncoder.copyBufferToBuffer(
      gpuBuffer,
      0,
      mappableBuffer,
      0,
      gpuBuffer.size
    );
    device.queue.submit([commandEncoder.finish()]);
  }
  await mappableBuffer.mapAsync(GPUMapMode.READ);
  const mappedBuffer = mappableBuffer.getMappedRange();
  const mappedArray = new arrayConstructor(mappedBuffer, byteOffset, numElements);
  const cpuTensor = new Tensor(mappedArray, gpuTensor.type.layout.dimensions, environment);
  mappableBuffer.unmap();
  cleanupBuffer();
  return cpuTensor;
}
function makeMoveTo(copyTo) {
  return async (tensor, options) => {
    const result = await copyTo(tensor, options);
    tensor.delete();
    return result;
  };
}
function registerCopyFunctions() {
  Tensor.copyFunctions.set(TensorBufferType.HOST_MEMORY, /* @__PURE__ */ new Map([
    [
      TensorBufferType.HOST_MEMORY,
      {
        copyTo: copyHostMemoryToHostMemory,
        // There might be a more efficient way to move
        // from CPU to CPU.
        moveTo: makeMoveTo(copyHostMemoryToHostMemory)
      }
    ],
    [
      TensorBufferType.WEB_GPU_BUFFER_PACKED,
      {
        copyTo: cpuTensorToGpuTensor,
        moveTo: makeMoveTo(cpuTensorToGpuTensor)
      }
    ]
  ]));
  Tensor.copyFunctions.set(TensorBufferType.WEB_GPU_BUFFER_PACKED, /* @__PURE__ */ new Map([
    [
      TensorBufferType.HOST_MEMORY,
      {
        copyTo: gpuTensorToCpuTensor,
        moveTo: makeMoveTo(gpuTensorToCpuTensor)
      }
    ]
  ]));
}
registerCopyFunctions();

// src/runtime.ts
var SIGNATURE = "serving_default";
var SHAPES = { logits: [1, 2], probability: [1, 1], evidence: [1, 7, 7] };
var NAMES2 = Object.keys(SHAPES);
var runtime = null;
async function start(wasm) {
  if (!await supportsFeature("relaxedSimd")) {
    throw new EngineError("setup", "this browser cannot run the network", {
      why: "its WebAssembly has no relaxed SIMD, and the answers were proven with it",
      fix: "Use Chrome or Edge 114, Firefox 145, or a newer one."
    });
  }
  runtime ??= wasm().then((bytes2) => {
    provide(bytes2);
    return loadLiteRt("./");
  });
  try {
    await runtime;
  } catch (error) {
    runtime = null;
    if (error instanceof EngineError) throw error;
    throw new EngineError("setup", "LiteRT.js cannot be started in this browser", {
      why: said(error),
      fix: "Allow WebAssembly ('wasm-unsafe-eval' in script-src), or use another browser.",
      cause: error
    });
  }
}
var said = (error) => (error instanceof Error ? error.message : String(error)).split("\n")[0].slice(0, 300);
var Network = class _Network {
  constructor(compiled, takes, side) {
    this.compiled = compiled;
    this.takes = takes;
    this.side = side;
  }
  compiled;
  takes;
  side;
  static async open(file, side, wasm) {
    await start(wasm);
    let compiled;
    try {
      compiled = await loadAndCompile(file, { accelerator: "wasm", cpuOptions: { numThreads: 1 } });
    } catch (error) {
      throw proofError("LiteRT.js cannot open the model", said(error));
    }
    const takes = checkTensors(compiled, side);
    return new _Network(compiled, takes, side);
  }
  /** Run one model input, `side` x `side` grey levels. */
  async run(input) {
    const values = this.takes === "uint8" ? Uint8Array.from(input) : Float32Array.from(input);
    const tensor = new Tensor(values, [1, this.side, this.side, 1]);
    let answers = {};
    try {
      answers = await this.compiled.run(SIGNATURE, { image: tensor });
      const rows2 = await Promise.all(NAMES2.map(async (name) => (await answers[name].data()).slice()));
      return Object.fromEntries(NAMES2.map((name, at) => [name, rows2[at]]));
    } catch (error) {
      throw proofError("LiteRT.js failed on a film", said(error));
    } finally {
      tensor.delete();
      for (const answer of Object.values(answers)) answer.delete();
    }
  }
  close() {
    this.compiled.delete();
  }
};
function checkTensors(compiled, side) {
  const signature = compiled.signatures[SIGNATURE];
  if (!signature) throw proofError("the model is not a network of tbconv", `it has no signature ${SIGNATURE}`);
  const inputs = signature.getInputDetails();
  const outputs = signature.getOutputDetails();
  const [image] = inputs;
  if (inputs.length !== 1 || image.name !== "image") {
    throw proofError("the model is not a network of tbconv", `it takes ${inputs.map((one) => one.name).join(", ")}`);
  }
  const shapes = [["image", image.shape, [1, side, side, 1]]];
  for (const name of NAMES2) {
    const found = outputs.find((one) => one.name === name);
    if (!found || found.dtype !== "float32") throw proofError("the model is not a network of tbconv", `it does not give ${name} in float32`);
    shapes.push([name, found.shape, SHAPES[name]]);
  }
  for (const [name, shape, expected] of shapes) {
    if (Array.from(shape).join() !== expected.join()) {
      const open = Array.from(shape).includes(-1) ? ", and LiteRT.js answers wrongly where a shape is open" : "";
      throw proofError("the model has tensors of another shape", `${name} is [${Array.from(shape).join(", ")}] and not [${expected.join(", ")}]${open}`);
    }
  }
  if (image.dtype !== "uint8" && image.dtype !== "float32") throw proofError("the model is not a network of tbconv", `it takes ${image.dtype}`);
  return image.dtype;
}

// src/engine.ts
var RUNTIME = "LiteRT.js 2.5.3, WebAssembly, one thread";
var MAX_BYTES = 64 << 20;
var MANIFEST = "papers/manifest.json";
var INSIDE = ["labels.txt", "operating_point.json"];
async function load2(url, options = {}) {
  const folder = new Folder(url, options);
  try {
    return await Model2.prove(folder, options);
  } catch (error) {
    if (options.signal?.aborted) {
      throw new EngineError("aborted", "loading was stopped", { why: "its signal was aborted", fix: "Call load again.", cause: error });
    }
    throw error;
  }
}
var Folder = class {
  constructor(url, options) {
    this.options = options;
    this.base = new URL(url, globalThis.location?.href);
    if (!this.base.pathname.endsWith("/")) this.base.pathname += "/";
    this.base.search = this.base.hash = "";
    this.get = options.fetch ?? globalThis.fetch.bind(globalThis);
  }
  options;
  base;
  get;
  async bytes(path) {
    const place = new URL(path, this.base);
    if (!place.href.startsWith(this.base.href)) throw proofError(`${path} lies outside the folder`, "nothing is ever fetched from elsewhere");
    return fetchBytes(place, path, this.get, this.options.signal);
  }
  /** A file, held to the digest that site.json states of it. */
  async held(path, site) {
    const digest = site.files[path];
    if (!digest) throw proofError(`site.json names no ${path}`, "what it does not name cannot be held to a digest");
    const bytes2 = await this.bytes(path);
    await expectDigest(path, bytes2, digest);
    return bytes2;
  }
};
async function fetchBytes(place, name, get, signal) {
  let answer;
  try {
    answer = await get(place, { signal, cache: "no-cache", credentials: "same-origin" });
    if (answer.ok) return new Uint8Array(await answer.arrayBuffer());
  } catch (error) {
    throw new EngineError("network", `${name} cannot be fetched`, { why: String(error?.message ?? error), fix: "Check the address and the connection, and reload.", cause: error });
  }
  throw new EngineError("network", `${name} cannot be fetched`, {
    why: `the host answered ${answer.status}`,
    fix: "Copy the whole folder that tbconv page wrote, with every file in it.",
    status: answer.status
  });
}
async function expectDigest(name, bytes2, expected) {
  const found = await sha256(bytes2);
  if (found !== expected) {
    throw proofError(`${name} has digest ${found.slice(0, 12)}, site.json says ${String(expected).slice(0, 12)}`, "the file changed after it was proven, or comes from another version of the folder");
  }
}
function parse2(name, bytes2) {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes2));
  } catch {
    throw proofError(`${name} cannot be understood`, "it is no JSON");
  }
}
async function ownWasm(name, { fetch: get, signal }) {
  const bytes2 = await fetchBytes(new URL(name, import.meta.url), name, get ?? globalThis.fetch.bind(globalThis), signal);
  const found = await sha256(bytes2);
  if (found !== define_WASM_default[name]) {
    throw proofError(`${name} has digest ${found.slice(0, 12)}, the engine was built with ${define_WASM_default[name].slice(0, 12)}`, "the two are not of one version");
  }
  return bytes2;
}
var Model2 = class _Model {
  constructor(site, manifest, proof, gate, reference, network, codec) {
    this.site = site;
    this.manifest = manifest;
    this.proof = proof;
    this.gate = gate;
    this.reference = reference;
    this.network = network;
    this.codec = codec;
  }
  site;
  manifest;
  proof;
  gate;
  reference;
  network;
  codec;
  broken = null;
  turn = Promise.resolve();
  /** Called by `load`. */
  static async prove(folder, options) {
    const start2 = performance.now();
    const site = parse2("site.json", await folder.bytes("site.json"));
    if (site.schema !== 1) throw proofError(`site.json has schema ${String(site.schema)}`, "this engine reads schema 1");
    const { model, golden, answer } = site;
    const total = 2 * golden.length + 6;
    let [done, files] = [0, 0];
    const step = (text) => options.progress?.(text, ++done, total);
    const held = async (path) => {
      const bytes3 = await folder.held(path, site);
      files += 1;
      step("checking digests");
      return bytes3;
    };
    const bytes2 = await held(MANIFEST);
    await expectDigest(MANIFEST, bytes2, site.manifest_sha256);
    const manifest = parse2(MANIFEST, bytes2);
    const gate = new Gate(site.gate, parse2(site.gate.likeness, await held(site.gate.likeness)));
    const reference = site.reference === null ? null : new Reference(parse2(site.reference, await held(site.reference)));
    const file = await held(model.file);
    checkManifest(manifest, site, file);
    const codec = await JpegCodec.open(await ownWasm("jpeg.wasm", options));
    const { size } = manifest.preprocessing;
    const known = [];
    const films = [];
    for (const one of golden) {
      const film = await held(one.film);
      films.push(film);
      known.push(await knownOf(one, film, gate, codec, size));
    }
    step("starting the network");
    const network = await Network.open(file, size, () => ownWasm("litert.wasm", options));
    const guarded = new GuardedNetwork(network, known, answer);
    const proof = { files, films: golden.length, seconds: 0, runtime: RUNTIME };
    const proven = new _Model(site, manifest, proof, gate, reference, guarded, codec);
    try {
      await guarded.prove(() => step("answering golden films"));
      for (const [at, one] of golden.entries()) await proven.proveAnswer(one, films[at], await guarded.answersOf(known[at]));
    } catch (error) {
      guarded.close();
      throw error;
    }
    proof.seconds = (performance.now() - start2) / 1e3;
    return proven;
  }
  /** Answer one film, as POST /api/v1/screen does; nothing of it leaves this page. */
  async screen(film) {
    const bytes2 = await bytesOf2(film);
    return this.inTurn(async () => {
      const opened = openFilm(bytes2, this.gate.stated.film, this.codec);
      return { result_id: crypto.randomUUID().replaceAll("-", ""), ...await this.answer(opened) };
    });
  }
  /** The film's grey pixels as they are read, whole: for a page that shows it. */
  async picture(film) {
    const opened = openFilm(await bytesOf2(film), this.gate.stated.film, this.codec);
    if (opened.film) return opened.film.grey;
    throw filmError("there is no picture to draw", this.gate.stated.reasons[opened.rejected], "Send a frontal film.");
  }
  /** Give the memory back; the model answers nothing afterwards. */
  async close() {
    if (this.broken) return;
    this.broken = new EngineError("setup", "the model was closed", { why: "close() was called", fix: "Call load again." });
    await this.turn;
    this.network.close();
  }
  /** One film at a time; after a failed proof none. */
  inTurn(work) {
    const mine = this.turn.then(async () => {
      if (this.broken) throw this.broken;
      try {
        return await work();
      } catch (error) {
        if (error instanceof EngineError && error.kind === "proof") this.broken = error;
        throw error;
      }
    });
    this.turn = mine.catch(() => void 0);
    return mine;
  }
  async answer(opened, run = (input) => this.network.run(input)) {
    const { gate, reference } = this;
    const { answer: rules } = this.site;
    const { size } = this.manifest.preprocessing;
    if (opened.rejected) return this.rejected(opened.rejected, rules.limits);
    const { grey, limits } = opened.film;
    const said2 = [...rules.limits, ...limits];
    const reason = gate.refuse(opened.film);
    if (reason) return this.rejected(reason, said2);
    const input = modelInput(grey, size);
    const answer = answerOf(await run(input), grey, rules, said2);
    if (reference) answer.limits = [...said2, ...reference.limits(input, size, answer.margin, rules.threshold)];
    return answer;
  }
  rejected(reason, limits) {
    return rejection(reason, this.gate.stated.reasons[reason], this.site.answer, limits);
  }
  /** Hold a golden film's whole answer to the one that Python gave. */
  async proveAnswer({ name, answer }, film, outputs) {
    if (!answer) return;
    const found = await this.answer(openFilm(film, this.gate.stated.film, this.codec), async () => outputs);
    const difference = firstDifference("", answer, found);
    if (difference) throw proofError(`golden film ${name} is answered differently in this browser`, difference);
  }
};
async function knownOf(golden, film, gate, codec, size) {
  const { film: opened } = openFilm(film, gate.stated.film, codec);
  const input = opened ? modelInput(opened.grey, size) : new Uint8Array();
  const found = await sha256(input);
  if (found !== golden.model_input_sha256) {
    throw proofError(`golden film ${golden.name} becomes another model input in this browser`, `its digest is ${found.slice(0, 12)}, it was ${golden.model_input_sha256.slice(0, 12)}: the film is decoded or resized in another way`);
  }
  const reason = gate.refuse(opened);
  if (reason !== golden.gate) {
    throw proofError(`golden film ${golden.name} is judged differently in this browser`, `the gate says ${reason ?? "a chest film"}, it said ${golden.gate ?? "a chest film"}`);
  }
  const { logits, probability, evidence } = golden;
  const outputs = logits && evidence && probability !== null ? {
    logits: Float32Array.from(logits),
    probability: Float32Array.of(probability),
    evidence: Float32Array.from(evidence.flat())
  } : null;
  return { name: golden.name, input, outputs };
}
function checkManifest(manifest, site, file) {
  const { answer, model } = site;
  const differs = firstDifference("", manifest, site.manifest);
  if (differs) throw proofError("site.json and the bundle's manifest disagree", differs);
  const { labels, preprocessing, decision_rules, files } = manifest;
  const rule = decision_rules[answer.network];
  const inside = statedInside(file);
  const stated = [
    ["the threshold", rule?.operating_point.margin, answer.threshold],
    ["the calibration's slope", rule?.calibration.slope, answer.calibration.slope],
    ["the calibration's offset", rule?.calibration.offset, answer.calibration.offset],
    [`the digest of ${model.artefact}`, files[model.artefact]?.sha256, model.sha256],
    ["the model's digest", site.files[model.file], model.sha256],
    ["the way films are prepared", [preprocessing.colour, preprocessing.pad, preprocessing.resample, preprocessing.values].join(), "grey,black,pillow-bilinear,0..255"],
    ["the labels and their order", [labels.negative, labels.positive].join(), inside.labels?.join() ?? [labels.negative, labels.positive].join()],
    ["the threshold inside the model's file", rule?.operating_point.margin, inside.threshold ?? rule?.operating_point.margin]
  ];
  for (const [what, bundle, other] of stated) {
    if (bundle !== other) throw proofError(`the bundle's manifest is contradicted about ${what}`, `it says ${String(bundle)}, and elsewhere stands ${String(other)}`);
  }
}
function statedInside(file) {
  let inside;
  try {
    inside = unzipSync(file, { filter: ({ name, originalSize }) => INSIDE.includes(name) && originalSize < 1 << 20 });
  } catch {
    return {};
  }
  const text = (name) => inside[name] ? new TextDecoder().decode(inside[name]) : null;
  const [labels, point] = INSIDE.map(text);
  return {
    labels: labels?.trimEnd().split("\n"),
    threshold: point ? JSON.parse(point).operating_point.margin : void 0
  };
}
function firstDifference(at, then, now) {
  if (then && now && typeof then === "object" && typeof now === "object") {
    for (const key of /* @__PURE__ */ new Set([...Object.keys(then), ...Object.keys(now)])) {
      const found = firstDifference(at ? `${at}.${key}` : key, then[key], now[key]);
      if (found) return found;
    }
    return null;
  }
  return Object.is(then, now) || then === now ? null : `${at} is ${JSON.stringify(now)}, it was ${JSON.stringify(then)}`;
}
async function bytesOf2(film) {
  const size = film instanceof Blob ? film.size : film.byteLength;
  if (size > MAX_BYTES) throw filmError(`the film has ${size} bytes`, `a film's file may have ${MAX_BYTES}`, "Export it compressed, or at a side of 4,096 pixels or less.");
  if (film instanceof Blob) return new Uint8Array(await film.arrayBuffer());
  return film instanceof Uint8Array ? film : new Uint8Array(film);
}

// src/remote.ts
init_define_WASM();
var PATH = "api/v1/screen";
var STATUSES = {
  400: ["request", "the server cannot read the film", "Export it again as PNG, JPEG or DICOM."],
  401: ["access", "the server wants a token", "Pass the token that its operator gave: screenRemote(url, film, { token })."],
  403: ["access", "the server refuses the token", "Ask its operator for a token that may screen."],
  404: ["request", "the server has no such model or address", "Check the address, and the names of model and version."],
  408: ["network", "the film took too long to arrive", "Send it again, or over a better connection."],
  413: ["request", "the film is too large for the server", "Export it compressed, or at a side of 4,096 pixels or less."],
  415: ["request", "what was sent is no film", "Send a PNG, JPEG or DICOM file."],
  422: ["request", "the server does not accept the message", "Send the film as it is, alone."],
  429: ["busy", "too many films were sent at once", "Try again after `retryAfter` seconds."],
  503: ["busy", "the server cannot answer now", "Try again after `retryAfter` seconds."]
};
async function screenRemote(url, film, options = {}) {
  const place = addressOf(url, options);
  const body2 = new FormData();
  body2.append("file", film instanceof Blob ? film : new Blob([film]), "film");
  let answer;
  let said2;
  try {
    const headers = options.token ? { authorization: `Bearer ${options.token}` } : {};
    answer = await (options.fetch ?? globalThis.fetch)(place, { method: "POST", body: body2, headers, signal: options.signal });
    said2 = await answer.json().catch(() => null);
  } catch (error) {
    if (options.signal?.aborted) throw new EngineError("aborted", "screening was stopped", { why: "its signal was aborted", fix: "Send the film again.", cause: error });
    throw new EngineError("network", "the server does not answer", {
      why: `${place.origin} is not reached, or does not allow this page's origin (tbconv serve --cors-origin)`,
      fix: "Check the address and the connection, and send the film again.",
      cause: error
    });
  }
  if ((answer.ok || answer.status === 422) && isAnswer(said2)) return said2;
  throw errorOf(answer, said2);
}
function addressOf(url, { model, version }) {
  const place = new URL(url, globalThis.location?.href);
  if (!place.pathname.endsWith(PATH)) place.pathname = `${place.pathname.replace(/\/$/, "")}/${PATH}`;
  if (model) place.searchParams.set("model", model);
  if (version) place.searchParams.set("version", version);
  return place;
}
function errorOf(answer, said2) {
  const { status } = answer;
  const [kind, what, fix] = STATUSES[status] ?? [
    "server",
    answer.ok ? "the server's answer cannot be understood" : `the server failed with status ${status}`,
    answer.ok ? "Check that the address is that of a tbconv server." : "Tell its operator; its log has the reason."
  ];
  const sentence = said2?.error;
  const why = typeof sentence === "string" && sentence ? sentence : `the status was ${status}, without a reason`;
  return new EngineError(kind, what, { why, fix, status, retryAfter: kind === "busy" ? waitOf(answer) : null });
}
function waitOf(answer) {
  const stated = answer.headers.get("retry-after") ?? "";
  const seconds = /^\d+$/.test(stated) ? Number(stated) : (Date.parse(stated) - Date.now()) / 1e3;
  return Number.isFinite(seconds) ? Math.max(1, Math.ceil(seconds)) : 1;
}
function isAnswer(said2) {
  const answer = said2;
  if (!answer || !Array.isArray(answer.limits) || !answer.model) return false;
  if (answer.status === "rejected") return typeof answer.reason === "string";
  return answer.status === "ok" && typeof answer.margin === "number" && typeof answer.decision === "string" && typeof answer.score === "number";
}

// src/index.ts
var VERSION = "0.1.0";
export {
  EngineError,
  Model2 as Model,
  VERSION,
  load2 as load,
  screenRemote
};
